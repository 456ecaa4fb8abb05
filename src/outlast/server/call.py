"""One request as a route's handler gets it: checked query and body, and the parts to work with."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from outlast.config import Settings
from outlast.errors import Invalid, NotFound, OutlastError
from outlast.ids import check_run_id
from outlast.run.folder import RunFolder
from outlast.server import limits
from outlast.server.auth import Principal
from outlast.server.follow import folder_of
from outlast.server.parts import Parts
from outlast.server.route import BYTES, JSON, Found

Shape = TypeVar("Shape", bound=msgspec.Struct)


class Call(Request):
    """A request that has passed the guard."""

    @property
    def parts(self) -> Parts:
        """What the server consists of."""
        parts: Parts = self.scope["outlast.parts"]
        return parts

    @property
    def settings(self) -> Settings:
        return self.parts.settings

    @property
    def principal(self) -> Principal:
        principal: Principal = self.scope["outlast.principal"]
        return principal

    @property
    def found(self) -> Found:
        found: Found = self.scope["outlast.found"]
        return found

    @property
    def run_id(self) -> str:
        """The run that the path names. Raises NotFound for what can't be one."""
        try:
            return check_run_id(self.found.parts["id"])
        except Invalid:
            raise NotFound(NO_RUN) from None

    @property
    def folder(self) -> RunFolder:
        """The folder of the run that the path names. Raises NotFound when there is none."""
        return folder_of(self.settings.runs_folder, self.run_id)

    async def catch_up(self) -> None:
        """Let what is told of the run hold all that was written before this was asked."""
        await self.parts.scheduler.catch_up(self.run_id)

    def query_as(self, shape: type[Shape]) -> Shape:
        """The query, checked. Raises Invalid naming the parameter."""
        pairs = self.query_params.multi_items()
        values = dict(pairs)
        if len(values) != len(pairs):
            raise Invalid("a query parameter is given twice", field="query")
        for name, value in pairs:
            limits.check_text(f"query parameter {name}", value, field=name)
        return convert(values, shape, strict=False)

    async def body_as(self, shape: type[Shape]) -> Shape:
        """The JSON body, checked; an empty one is {}. Raises Invalid, HttpError 413 or 415."""
        return convert(await self.read_json(), shape, strict=True)

    async def read_json(self) -> Any:
        if not self.has_body:
            return {}
        limits.check_content_type(self.headers, JSON)
        body = await self.read(self.settings.max_body_bytes)
        return limits.decode_json(body) if body else {}

    async def read_batch(self) -> bytes:
        """The body as bytes. Raises HttpError 413 or 415."""
        limits.check_content_type(self.headers, BYTES)
        return await self.read(self.settings.max_batch_bytes)

    async def read(self, limit_bytes: int) -> bytes:
        idle_s = self.settings.body_idle_timeout_s
        return await limits.read_body(self.receive, self.headers, limit_bytes, idle_s)

    @property
    def has_body(self) -> bool:
        is_sized = self.headers.get("content-length", "0") != "0"
        return is_sized or "transfer-encoding" in self.headers


NO_RUN = "there is no such run in this workspace"


def convert(value: Any, shape: type[Shape], *, strict: bool) -> Shape:
    """A plain value in a declared shape. Raises Invalid naming the field and the remedy."""
    try:
        return msgspec.convert(value, shape, strict=strict)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        field = where.rstrip("`").lstrip(".")
        if "unknown field" in message:
            known = ", ".join(shape.__struct_fields__) or "none"
            message += f"; known: {known}"
        raise Invalid(f"{field}: {message}" if field else message, field=field) from None
    except OutlastError:
        raise
