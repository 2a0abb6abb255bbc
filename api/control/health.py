"""Is the management door alive, and are the parts it stands on? Keep out: the health of other processes."""

from __future__ import annotations

from fastapi import APIRouter, Response
from redis.exceptions import RedisError
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from storage.connections import connect


def health_routes(engine: Engine, redis_url: str | None) -> APIRouter:
    """GET /actuator/health."""
    router = APIRouter(tags=["health"])

    @router.get("/actuator/health")
    def health(response: Response) -> dict[str, object]:
        """UP with 200, or DOWN with 503, and which part it is."""
        components = {"db": {"status": _database(engine)}}
        if redis_url is not None:
            components["redis"] = {"status": _redis(redis_url)}
        is_up = all(part["status"] == "UP" for part in components.values())
        response.status_code = 200 if is_up else 503
        return {"status": "UP" if is_up else "DOWN", "components": components}

    return router


def _database(engine: Engine) -> str:
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return "DOWN"
    return "UP"


def _redis(url: str) -> str:
    try:
        with connect(url, socket_timeout=2, socket_connect_timeout=2) as redis:
            redis.ping()
    except (RedisError, OSError):
        return "DOWN"
    return "UP"
