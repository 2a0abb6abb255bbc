"""The head of a request. Put here: one header of it. Keep out: what headers mean."""

from __future__ import annotations

from fastapi import Request


def header(request: Request, name: bytes) -> str | None:
    """The first header of this name, in lower case. Without an object for all of them, which costs more than the look."""
    for each, value in request.scope["headers"]:
        if each == name:
            return str(value, "latin-1")
    return None
