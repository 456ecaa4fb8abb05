"""The OpenAPI 3.1 document, made from the declarations that the guard and the router use."""

from __future__ import annotations

import inspect
import re
from typing import Any

import msgspec
from msgspec.structs import fields

from outlast import __version__
from outlast.server.route import BYTES, JSON, Route

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint", "field", "id"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "hint": {"type": "string", "description": "the next command, or empty"},
                "field": {"type": "string", "description": "the field that is wrong, or empty"},
                "id": {"type": "string", "description": "the same as in the server's log"},
            },
        }
    },
}


def document(routes: list[Route]) -> dict[str, Any]:
    """The document of these routes, without pages, and WebSockets, which OpenAPI doesn't know."""
    http = [r for r in routes if r.method != "WEBSOCKET" and not r.is_page]
    shapes = [
        shape
        for route in http
        for shape in (route.query, route.body, route.answer)
        if shape not in (None, BYTES)
    ]
    schemas, components = msgspec.json.schema_components(
        shapes, ref_template="#/components/schemas/{name}"
    )
    named = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for route in http:
        query, body, answer = (
            next(named) if shape not in (None, BYTES) else shape
            for shape in (route.query, route.body, route.answer)
        )
        path = route.path.replace("*}", "}")
        operation = _operation(route, _resolved(query, components), body, answer)
        paths.setdefault(path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Outlast",
            "version": __version__,
            "description": "Runs that outlast your connection. See docs/api.md.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, query: Any, body: Any, answer: Any) -> dict[str, Any]:
    text = inspect.getdoc(route.handler) or ""
    summary, _, description = text.partition("\n")
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{getattr(route.handler, '__name__', '')}",
        "summary": summary.rstrip("."),
        "description": f"{description.strip()}\n\nPermission: {route.permission}.".strip(),
        "parameters": _path_parameters(route.path) + _query_parameters(query),
        "responses": {
            str(route.status): _success(answer),
            "default": {
                "description": "What went wrong",
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if route.permission == "public":
        operation["security"] = []
    if body is not None:
        kind = BYTES if body == BYTES else JSON
        schema = {"type": "string", "format": "binary"} if body == BYTES else body
        # An empty body is {}: it is enough where no field is required.
        is_required = body == BYTES or any(field.required for field in fields(route.body))
        operation["requestBody"] = {"required": is_required, "content": {kind: {"schema": schema}}}
    return operation


def _success(answer: Any) -> dict[str, Any]:
    if answer is None:
        return {"description": "Done"}
    if answer == BYTES:
        binary = {"schema": {"type": "string", "format": "binary"}}
        return {"description": "The bytes", "content": {BYTES: binary}}
    return {"description": "The answer", "content": {JSON: {"schema": answer}}}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{([a-z_]+)\*?}", path)
    ]


def _query_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": {key: item for key, item in field.items() if key != "description"},
            "description": field.get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = components.get(name, schema)
    return found
