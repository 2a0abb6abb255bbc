"""Is the edge alive, and may it be sent traffic? Put here: health routes. Keep out: the health of other processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from redis.exceptions import RedisError

from api.edge.access import to_json
from api.edge.bodies import Json
from api.edge.known import HotStateMissing
from api.edge.service import EdgeService
from api.edge.spooling import Spooling
from api.problems import Problem
from domain.errors import TransientFailure
from storage import hot_state
from storage.connections import is_cluster

UP, DOWN, EMPTY = "UP", "DOWN", "EMPTY"
_PROBE = "readiness-probe"
_PROBED_FOR, _PROBE_SECONDS = 1.0, 2.0


class LogNotWritable(TransientFailure):
    """Redis answers, but takes nothing: it is full, a replica, or cannot write to its disk."""

    code = "LOG_NOT_WRITABLE"


class Draining(TransientFailure):
    """The edge was told to end."""

    code = "DRAINING"


class Readiness:
    """Asks each part whether it can do its work now."""

    def __init__(self, service: EdgeService) -> None:
        self._service = service
        self._written_until = 0.0

    async def parts(self) -> dict[str, BaseException | None]:
        """Each part, and what is wrong with it."""
        if self._service.meters.is_leaving:
            return {"edge": Draining("This edge is about to end; ask another one.")}
        asked: dict[str, Callable[[], Awaitable[None]]] = {
            "redis": self._ping,
            "log": self._log,
            "rights": self._rights,
        }
        if is_cluster(self._service.redis):
            # Each node has its tenants: as long as one answers, there is work. Requests of the others' are answered with 503.
            asked = {"redis": self._any_node}
        return {name: await self._wrong(ask) for name, ask in asked.items()}

    async def _wrong(self, ask: Callable[[], Awaitable[None]]) -> BaseException | None:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await ask()
        except (RedisError, OSError, TransientFailure) as error:
            return error
        return None

    async def _any_node(self) -> None:
        await self._service.check_durable(now=True)

    async def _ping(self) -> None:
        await self._service.redis.ping()

    async def _log(self) -> None:
        """It syncs before it replies, and a write goes through. Written once a second at most, however often this is asked."""
        await self._service.check_durable(now=True)
        if time.monotonic() < self._written_until:
            return
        try:
            await self._service.redis.set(_PROBE, b"1", ex=60)
        except RedisError as error:
            raise LogNotWritable(f"Redis takes no writes: {error}") from error
        self._written_until = time.monotonic() + _PROBED_FOR

    async def _rights(self) -> None:
        if not await self._service.redis.exists(hot_state.PUBLISHED):
            raise HotStateMissing("No tenant's rights are published: every key would be answered with 503.")


def add_health_routes(app: FastAPI, service: EdgeService) -> None:
    """GET /health and /healthz (the process answers), GET /readyz (it can do its work)."""
    readiness = Readiness(service)

    @app.get("/health", tags=["health"], response_model=None)
    @app.get("/healthz", tags=["health"], response_model=None)
    async def health(request: Request) -> Response:
        """The process answers."""
        return Json(b'{"status":"UP"}')

    @app.get("/readyz", tags=["health"], response_model=None)
    async def ready(request: Request) -> Response:
        """Redis answers, the log takes writes and syncs them to disk before it replies, and rights are published. 503 otherwise, and
        from the moment on that the edge was told to end. With `rights=optional` an edge without any tenant is ready. DEGRADED, still
        ready: Redis or the log is away and requests are kept on local disk, or some still are."""
        wrong = await readiness.parts()
        is_away = bool(wrong.get("redis") or wrong.get("log"))
        if service.spooling is not None and (
            is_away or (service.spooling.waiting and not any(wrong.values()))
        ):
            return _spooling(service.spooling, DOWN if is_away else UP)
        shown = {name: {"status": UP if error is None else DOWN} for name, error in wrong.items()}
        if request.query_params.get("rights") == "optional" and isinstance(
            wrong.get("rights"), HotStateMissing
        ):
            shown["rights"] = {"status": EMPTY}
            wrong["rights"] = None
        for name, error in wrong.items():
            if error is not None:
                code = getattr(error, "code", None) or "REDIS_UNAVAILABLE"
                raise Problem(
                    503,
                    f"Not ready: {name}: {str(error) or 'it does not answer in time'}",
                    code=code,
                    headers={"Retry-After": "1"},
                    extra={"components": shown},
                )
        return to_json({"status": UP, "components": shown})


def _spooling(spooling: Spooling, redis: str) -> Response:
    spool = {"status": UP, "waiting": spooling.waiting, "bytes": spooling.size}
    return to_json({"status": "DEGRADED", "components": {"redis": {"status": redis}, "spool": spool}})
