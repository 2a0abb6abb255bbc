"""Requests for a path without parameters, answered without the framework's search. Put here: that short cut. Keep out: routes.

The routes are declared to FastAPI, which describes and checks them; but to find one it asks each in turn and wraps the call in
middlewares, exit stacks and dependencies, which took two thirds of the time of a decision. A route that takes nothing but the request
is looked up by its path here and called as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType

from fastapi import FastAPI
from fastapi.routing import APIRoute
from redis.exceptions import OutOfMemoryError, RedisError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.envelope import App, Receive, Scope, Send
from api.problems import Problem
from domain.errors import TransientFailure

_RETRY = {"Retry-After": "1"}


class DirectApp(FastAPI):
    """An app whose routes for paths without parameters are answered in front of it. front: what surrounds those answers, as the
    app's middlewares surround the others; it ends in `answer`."""

    direct: Mapping[tuple[str, str], APIRoute] = MappingProxyType({})
    front: App

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self.direct.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"], scope["route"] = self, route
        await self.front(scope, receive, send)


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer of the route that was found."""
    request = Request(scope, receive, send)
    try:
        response = await scope["route"].endpoint(request)
    except (RedisError, OSError, TransientFailure) as error:
        response = await unavailable(request, error)
    except ClientDisconnect as error:
        response = await gone(request, error)
    await response(scope, receive, send)


def install(app: DirectApp, around: Callable[[App], App]) -> None:
    """Answer the routes declared so far directly, and make other routes answer errors alike. around: puts what every answer needs
    around it."""
    for failure in (RedisError, OSError, TransientFailure):
        app.add_exception_handler(failure, unavailable)
    app.add_exception_handler(ClientDisconnect, gone)
    app.front, app.direct = around(answer), routes_of(app)


def routes_of(app: FastAPI) -> dict[tuple[str, str], APIRoute]:
    """By method and path, those that take nothing but the request."""
    return {
        (method, route.path): route
        for route in app.routes
        if isinstance(route, APIRoute)
        and "{" not in route.path
        and [*inspect.signature(route.endpoint).parameters] == ["request"]
        for method in route.methods or ()
    }


async def unavailable(request: Request, error: Exception) -> Response:
    """Nothing was promised, so the client keeps its events and tries again."""
    code, detail = "REDIS_UNAVAILABLE", "The event log does not answer; try again."
    if isinstance(error, TransientFailure):
        code, detail = error.code, str(error)
    elif isinstance(error, OutOfMemoryError):
        code, detail = "LOG_FULL", "The event log is full until it is drained; try again."
    raise Problem(503, detail, code=code, headers=_RETRY) from error


async def gone(request: Request, error: Exception) -> Response:
    """The client went away in the middle of its body: nobody is there to read this, and nothing was kept."""
    return Response(status_code=400)
