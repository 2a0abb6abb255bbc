"""How the management door's routes read requests. Put here: the router all nouns use. Keep out: admission, answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from types import CodeType
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.routing import APIRoute

from api import exact_json
from api.control.paging import PARAMETERS
from api.problems import Problem

LARGEST_BODY = 10 * 1024 * 1024


class ExactRequest(Request):
    """A request whose JSON has exact decimals, and whose body is of bounded size."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            parts, size = [], 0
            async for part in self.stream():
                size += len(part)
                if size > LARGEST_BODY:
                    raise HTTPException(
                        413, f"The body is larger than {LARGEST_BODY} bytes; send less at once"
                    )
                parts.append(part)
            self._body = b"".join(parts)
            self.state.body = self._body
        return self._body

    async def json(self) -> Any:
        try:
            return exact_json.decode(await self.body())
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"The body is not JSON: {error}") from None


class ManagedRoute(APIRoute):
    """A route with exact decimals in, documented problems, and documented paging where it answers with a page."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        extra: dict[str, Any] = {
            "x-right": right_of(endpoint),
            "x-if-match": "expect" in _names_in(endpoint.__code__),
        }
        if "listing" in endpoint.__code__.co_names:  # it answers by Call.listing, which reads these itself
            extra["parameters"] = PARAMETERS
        options["openapi_extra"] = {**extra, **(options.get("openapi_extra") or {})}
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_exactly(request: Request) -> Response:
            exact = ExactRequest(request.scope, request.receive)
            _refuse_nul(request)
            return await handle(exact)

        return handle_exactly


def managed_router(prefix: str, *tags: str) -> APIRouter:
    """A router for a noun's routes. tags: the noun, as the API reference groups it."""
    return APIRouter(prefix=prefix, tags=list(tags), route_class=ManagedRoute)


def right_of(endpoint: Callable[..., Any]) -> dict[str, Any] | None:
    """The area a route reads or changes, as its dependency on the door says; None: it asks for no key."""
    for parameter in inspect.signature(endpoint).parameters.values():
        for mark in getattr(parameter.annotation, "__metadata__", ()):
            right = getattr(getattr(mark, "dependency", None), "right", None)
            if right is not None:
                return {"area": right[0], "change": right[1]}
    return None


def _names_in(code: CodeType) -> set[str]:
    """What a function names, the functions within it too."""
    inner = (_names_in(each) for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*inner)


def _refuse_nul(request: Request) -> None:
    """No id and no name has a NUL in it, and PostgreSQL would choke on one."""
    if any("\0" in value for value in request.path_params.values()):
        raise Problem(404, "There is nothing at this address: it contains a NUL", code="NOT_FOUND")
    for name, value in request.query_params.multi_items():
        if "\0" in name or "\0" in value:
            raise Problem(400, f"{name.replace(chr(0), '')}: contains a NUL", code="BAD_REQUEST")
