"""The live stream of a tenant's events. Put here: following it as server-sent events. Keep out: what is told (live.py), the stream in
Redis (storage.live_feed), the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.edge.access import customer_of, first
from api.edge.auth import authenticate
from api.edge.limiting import count
from api.edge.live import LOOK_SECONDS, TELL_SECONDS, Live
from api.edge.service import EdgeService
from domain import limits
from domain.access import METER
from domain.usage import CUSTOMER_NAMES
from storage import live_feed

_POLL_SECONDS = 0.2
_LISTEN_SECONDS, _RENEW_SECONDS = 15.0, 5.0
_HEARTBEAT_SECONDS, _SEND_SECONDS = 10.0, 30.0
_PAGE = 200


class _Follower:
    """One who listens: what is sent, piece by piece. It holds one page at a time; what it has not read waits in Redis, and what
    it does not read before that is full is lost to it, which ends the stream with a word."""

    def __init__(
        self, ended: asyncio.Event, redis: Redis, tenant_id: str, customer: str | None, last: str | None
    ) -> None:
        self.ended = ended
        self._redis = redis
        self._tenant_id = tenant_id
        self._customer = customer
        self._last = last

    async def pieces(self) -> AsyncIterator[bytes]:
        redis, tenant_id = self._redis, self._tenant_id
        again = self._last is not None
        last = self._last or await live_feed.newest(redis, tenant_id)
        renewed = said = -_LISTEN_SECONDS
        is_ready = False
        while not self.ended.is_set():
            now = time.monotonic()
            if now >= renewed + _RENEW_SECONDS:
                await live_feed.listen(redis, tenant_id, time.time() + _LISTEN_SECONDS)
                renewed = now
            if not is_ready:
                # Every door knows of the listener by then: what comes from now on is told.
                yield b"retry: 2000\n\n"
                await self._pause(LOOK_SECONDS + TELL_SECONDS)
                yield _piece("ready", {"tenantId": tenant_id}, None)
                is_ready, said = True, time.monotonic()
            gap, found = await live_feed.after(redis, tenant_id, last, _PAGE)
            if gap and not again:
                yield _piece("dropped", {"reason": "SLOW_READER", "lastEventId": last}, None)
                return
            if gap:
                yield _piece("gap", {"lastEventId": last}, None)
            again = False
            for last, text in found:
                if (piece := self._shown(last, text)) is not None:
                    said = time.monotonic()
                    yield piece
            if time.monotonic() >= said + _HEARTBEAT_SECONDS:
                said = time.monotonic()
                yield b": still here\n\n"
            if len(found) < _PAGE:
                await self._pause(_POLL_SECONDS)
        yield _piece("closing", {"reason": "SHUTTING_DOWN"}, None)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended.wait()

    def _shown(self, entry_id: str, text: bytes) -> bytes | None:
        event = msgspec.json.decode(text)
        if "skipped" in event:
            return _piece("skipped", {"events": event["skipped"]}, entry_id)
        if self._customer is not None and event["customerId"] != self._customer:
            return None
        return _piece(event["outcome"], event, entry_id)


def _piece(name: str, data: dict[str, Any], entry_id: str | None) -> bytes:
    head = b"" if entry_id is None else b"id: " + entry_id.encode() + b"\n"
    return head + b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


class _Stream(Response):
    """Sends pieces until there are no more, the client goes, or takes none for half a minute."""

    media_type = "text/event-stream"

    def __init__(self, live: Live, tenant_id: str, follower: _Follower) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._live = live
        self._tenant_id = tenant_id
        self._follower = follower

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        gone = asyncio.ensure_future(_until_gone(receive, self._follower.ended))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for piece in self._follower.pieces():
                if gone.done():
                    return
                async with asyncio.timeout(_SEND_SECONDS):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except (TimeoutError, RedisError):
            pass  # the connection is closed without an end, and the client comes again with its last id
        finally:
            gone.cancel()
            self._live.leave(self._tenant_id, self._follower.ended)


async def _until_gone(receive: Any, ended: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    ended.set()


def add_live_routes(app: FastAPI, service: EdgeService) -> None:
    """GET /v1/stream."""
    live = service.live
    service.meters.gauge("live_listeners", "Live streams that are open.", lambda: live.listeners)

    @app.get("/v1/stream", tags=["events"], response_model=None)
    async def stream(request: Request) -> Response:
        """Events as they come in, accepted or refused, as server-sent events. With a customer's key, that customer's.

        `Last-Event-ID` goes on where an earlier stream ended, as far as that is still known."""
        key = await authenticate(service, request, METER)
        sent = first(dict(request.query_params), CUSTOMER_NAMES)
        customer = customer_of(key, sent) if sent or key.customer_id else None
        last = request.headers.get("last-event-id")
        if last is not None and not live_feed.is_id(last):
            last = None
        await count(service, request, key, limits.LOOKUP)
        follower = _Follower(live.enter(key.tenant_id), service.redis, key.tenant_id, customer, last)
        return _Stream(live, key.tenant_id, follower)
