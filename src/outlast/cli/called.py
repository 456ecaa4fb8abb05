"""A call as one word of a command line: `loguniform(-6, -1)`, `bandit(slack_factor=0.2)`."""

from __future__ import annotations

import ast
from collections.abc import Collection
from types import ModuleType
from typing import Any

from outlast.errors import Invalid


def made(field: str, text: str, module: ModuleType, names: Collection[str]) -> Any:
    """What the call makes, of one of these functions of `module`; its arguments are plain values.

    Raises Invalid, naming the field.
    """
    remedy = f"give one of {', '.join(sorted(names))} with its values, as in docs/sweeps.md"
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError
        values = [ast.literal_eval(value) for value in call.args]
        named = {str(pair.arg): ast.literal_eval(pair.value) for pair in call.keywords}
    except (SyntaxError, ValueError):
        raise Invalid.field(field, text, remedy) from None
    if call.func.id not in names:
        raise Invalid.field(field, text, remedy)
    try:
        return getattr(module, call.func.id)(*values, **named)
    except TypeError as error:
        raise Invalid.field(field, text, str(error).partition("() ")[2] or remedy) from None
