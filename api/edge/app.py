"""The edge as an application. Put here: what it is made of. Keep out: routes, rules, anything slow to import."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api import envelope, logs
from api.edge import direct, document
from api.edge.access import add_access_routes
from api.edge.direct import DirectApp
from api.edge.health import add_health_routes
from api.edge.ingest import add_ingest_routes
from api.edge.leaving import leave_in_order
from api.edge.live_routes import add_live_routes
from api.edge.lookups import add_lookup_routes
from api.edge.metrics import add_metrics_route
from api.edge.preflight import add_preflight_routes
from api.edge.reservations import add_reservation_routes
from api.edge.service import EdgeService
from api.edge.sessions import add_session_routes
from api.edge.settings import EdgeSettings
from api.edge.upload_worker import UploadWorker
from api.edge.uploads import add_upload_routes
from api.edge.usage import add_usage_routes
from api.edge.webhooks import add_webhook_routes
from api.envelope import Envelope
from api.meters import Measured
from api.monitoring import Worker

_PATIENCE_SECONDS = 3.0


def create_app(settings: EdgeSettings) -> FastAPI:
    """The edge over one Redis. It connects with the first request, not now."""
    service = EdgeService(settings)
    worker = UploadWorker(service)
    numbers = Worker(service.meters, f"edge-{settings.port}", _together(settings))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        _settle_memory()
        leave_in_order(service)
        if service.spooling is not None:
            service.spooling.start()
        background = [asyncio.create_task(each.run()) for each in (worker, numbers, service.live)]
        yield
        for task in background:
            task.cancel()
        await asyncio.wait(background, timeout=_PATIENCE_SECONDS)
        await service.close()

    app = DirectApp(title="Aforo edge", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.live = service.live
    add_access_routes(app, service)
    add_ingest_routes(app, service)
    add_preflight_routes(app, service)
    add_reservation_routes(app, service)
    add_usage_routes(app, service)
    add_lookup_routes(app, service)
    add_live_routes(app, service)
    add_upload_routes(app, service, worker)
    add_webhook_routes(app, service)
    add_session_routes(app, service)
    add_health_routes(app, service)
    add_metrics_route(app, service, numbers)
    document.install(app)
    envelope.install(app)
    paths = [route.path for route in app.routes if isinstance(route, APIRoute) and "{" not in route.path]
    measured = partial(Measured, meters=service.meters, tracer=service.traces, paths=paths)
    app.add_middleware(measured)
    direct.install(app, lambda answer: measured(Envelope(answer)))
    return app


def _together(settings: EdgeSettings) -> Path | None:
    """Where the processes behind this port leave their numbers for each other."""
    return Path(settings.home) / "run" if settings.workers > 1 else None


def _settle_memory() -> None:
    """What exists at the start stays: the collector need not walk it again and again, which held up requests for
    milliseconds. Requests make few cycles, so it also runs less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def app_from_env() -> FastAPI:
    """The edge as its environment describes it; what uvicorn's workers start."""
    logs.configure("edge")
    return create_app(EdgeSettings.from_env())
