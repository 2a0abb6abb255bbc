"""How many requests an operator key may make. Put here: counting and refusing. Keep out: limits of the edge."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from api.envelope import App, Receive, Scope, Send
from api.problems import Problem

WINDOW = 60
"""Seconds. Windows are fixed: they begin at whole minutes."""
FREE = ("/actuator/", "/data-docs", "/docs", "/v3/", "/errors/")
"""What is not counted: whoever watches or reads must not be locked out by what scripts do."""


class RateLimit:
    """Middleware: at most `limit` requests a minute with one token, counted in this process. Requests without a token share one
    count, so that guessing is limited too. Every answer says how much is left."""

    def __init__(self, app: App, limit: int, now: Callable[[], float] = time.time) -> None:
        self._app = app
        self._limit = limit
        self._now = now
        self._window = 0
        self._counts: dict[bytes, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        now = int(self._now())
        reset = now - now % WINDOW + WINDOW
        is_free = scope["path"].startswith(FREE)
        used = self._count(_who(scope), reset, 0 if is_free else 1)
        headers = self._headers(used, reset)
        scope.setdefault("state", {})["headers"] = [(k.encode(), v.encode()) for k, v in headers.items()]
        if used > self._limit and not is_free:
            wait = reset - now
            detail = f"More than {self._limit} requests a minute with this key; go on in {wait} s."
            raise Problem(
                429,
                detail,
                code="RATE_LIMITED",
                headers={"Retry-After": str(wait)},
                extra={"retryAfter": wait},
            )
        await self._app(scope, receive, send)

    def _count(self, who: bytes, reset: int, more: int) -> int:
        if reset != self._window:  # also what keeps the counts of made-up tokens from growing without end
            self._window, self._counts = reset, {}
        used = self._counts.get(who, 0) + more
        if more:
            self._counts[who] = used
        return used

    def _headers(self, used: int, reset: int) -> Mapping[str, str]:
        return {
            "x-ratelimit-limit": str(self._limit),
            "x-ratelimit-remaining": str(max(0, self._limit - used)),
            "x-ratelimit-reset": str(reset),
            "x-ratelimit-window": str(WINDOW),
        }


def _who(scope: Mapping[str, Any]) -> bytes:
    token = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    return hashlib.blake2b(token, digest_size=16).digest()
