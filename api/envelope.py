"""What surrounds every answer: request ids, problems. Put here: pure ASGI shared by the doors. Keep out: routes.

`install(app)` gives a FastAPI or Starlette app RFC 7807 errors and an X-Request-Id on every response. The
middleware is pure ASGI because it sits on the hot path, and it catches what falls through so that even a 500
carries its request id.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.problems import MEDIA_TYPE, Problem, encode_problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)
_SAFE_ID = re.compile(rb"[A-Za-z0-9._:+/=\-]{1,128}")
_UNFORESEEN = "Something went wrong on our side. Quote the X-Request-Id when you report it."


class Envelope:
    """Puts X-Request-Id on every response and answers raised `Problem`s."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                scope["state"]["status"] = message["status"]
                more = scope["state"].get("headers", ())  # what a middleware further in wants on every answer
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id), *more]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Problem as problem:
            if started:
                raise
            await _answer(problem, scope["path"], send_with_id)
        except Exception:
            name = request_id.decode()
            log.exception("unforeseen error, request %s", name, extra={"request_id": name})
            if started:
                raise
            await _answer(Problem(500, _UNFORESEEN), scope["path"], send_with_id)


def install(app: Starlette) -> None:
    """Give the app the envelope. Call it last, so that it is the outermost middleware."""

    async def as_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        raise Problem(error.status_code, str(error.detail), headers=error.headers) from None

    app.add_exception_handler(HTTPException, as_problem)
    app.add_middleware(Envelope)


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The caller's id if it is short and harmless, otherwise a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _SAFE_ID.fullmatch(value):
            return value
    return secrets.token_hex(16).encode()


async def _answer(problem: Problem, path: str, send: Send) -> None:
    body = encode_problem(problem, path)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
