"""Is the edge alive, and may it be sent traffic? Put here: health routes. Keep out: the health of other processes."""

from __future__ import annotations

import msgspec
from fastapi import FastAPI, Response
from redis.exceptions import RedisError

from api.edge.service import EdgeService
from api.edge.spooling import Spooling
from api.problems import Problem
from domain.errors import TransientFailure


def add_health_routes(app: FastAPI, service: EdgeService) -> None:
    """GET /health and /healthz (the process answers), GET /readyz (the log may be trusted)."""

    @app.get("/health", tags=["health"], response_model=None)
    @app.get("/healthz", tags=["health"], response_model=None)
    async def health() -> Response:
        """The process answers."""
        return Response(b'{"status":"UP"}', media_type="application/json")

    @app.get("/readyz", tags=["health"], response_model=None)
    async def ready() -> Response:
        """Redis answers and syncs every write to disk before it replies; DEGRADED, still ready: requests are kept on local disk."""
        try:
            await service.check_durable(now=True)
        except (RedisError, OSError, TransientFailure) as error:
            if service.spooling is not None:
                return _spooling(service.spooling)
            code = getattr(error, "code", None) or "REDIS_UNAVAILABLE"
            down = {"components": {"redis": {"status": "DOWN"}}}
            raise Problem(
                503, f"Not ready: {error}", code=code, headers={"Retry-After": "1"}, extra=down
            ) from None
        return Response(
            b'{"status":"UP","components":{"redis":{"status":"UP"}}}', media_type="application/json"
        )


def _spooling(spooling: Spooling) -> Response:
    spool = {"status": "UP", "waiting": spooling.waiting, "bytes": spooling.size}
    body = {"status": "DEGRADED", "components": {"redis": {"status": "DOWN"}, "spool": spool}}
    return Response(msgspec.json.encode(body), media_type="application/json")
