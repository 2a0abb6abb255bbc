"""The head of a request. Put here: one header of it. Keep out: what headers mean."""

from __future__ import annotations

from fastapi import Request

_KEPT = "aforo.heads"


def header(request: Request, name: bytes) -> str | None:
    """The first header of this name, in lower case. The framework's own object for all of them costs more than the look."""
    scope = request.scope
    heads = scope.get(_KEPT)
    if heads is None:
        heads = scope[_KEPT] = dict(reversed(scope["headers"]))
    value = heads.get(name)
    return None if value is None else str(value, "latin-1")
