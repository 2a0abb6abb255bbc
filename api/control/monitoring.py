"""The management door's numbers. Put here: `GET /metrics`, and what is asked of the database for it. Keep out: counting (api.meters), how
it is written (api.monitoring)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from prometheus_client import Metric
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from api.monitoring import Worker, admit, exposed, families, gauge
from storage.database import session_scope
from storage.tables.keys import RightsOutboxRow

PREFIX = "aforo_control"


def metrics_routes(engine: Engine, worker: Worker, metrics_from: tuple[str, ...]) -> APIRouter:
    """GET /metrics."""
    router = APIRouter(include_in_schema=False)
    pool = engine.pool
    if hasattr(pool, "checkedout"):
        worker.meters.gauge("database_connections", "Connections to the database in use.", pool.checkedout)

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Numbers for Prometheus, in its text or as OpenMetrics; from AFORO_METRICS_FROM only."""
        admit(request, metrics_from)
        of_database = await run_in_threadpool(lambda: list(_of_database(engine)))
        shown = [*families(PREFIX, worker.all()), *of_database]
        text, media_type = exposed(shown, request.headers.get("accept"))
        return Response(text, media_type=media_type)

    return router


def _of_database(engine: Engine) -> Iterator[Metric]:
    """Whether the database answers, and how far the publishing of rights is behind."""
    up, about = "aforo_database_up", "Whether PostgreSQL answers."
    row = RightsOutboxRow
    try:
        with session_scope(engine) as session:
            waiting, oldest = session.execute(select(func.count(), func.min(row.created_at))).one()
    except SQLAlchemyError:
        yield gauge(up, about, 0)
        return
    lag = 0.0 if oldest is None else (datetime.now(UTC) - oldest).total_seconds()
    yield gauge(up, about, 1)
    yield gauge("aforo_rights_outbox_rows", "Changes of rights that are not published yet.", waiting)
    yield gauge("aforo_rights_outbox_lag_seconds", "Age of the oldest of them.", max(lag, 0.0))
