"""The edge as an application. Put here: what it is made of. Keep out: routes, rules, anything slow to import."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request, Response
from redis.exceptions import OutOfMemoryError, RedisError
from starlette.requests import ClientDisconnect

from api import envelope
from api.edge import document
from api.edge.access import add_access_routes
from api.edge.health import add_health_routes
from api.edge.ingest import add_ingest_routes
from api.edge.preflight import add_preflight_routes
from api.edge.reservations import add_reservation_routes
from api.edge.service import EdgeService
from api.edge.sessions import add_session_routes
from api.edge.settings import EdgeSettings
from api.edge.upload_worker import UploadWorker
from api.edge.uploads import add_upload_routes
from api.edge.webhooks import add_webhook_routes
from api.problems import Problem
from domain.errors import TransientFailure

_RETRY = {"Retry-After": "1"}


def create_app(settings: EdgeSettings) -> FastAPI:
    """The edge over one Redis. It connects with the first request, not now."""
    service = EdgeService(settings)
    worker = UploadWorker(service)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        _settle_memory()
        background = asyncio.create_task(worker.run())
        if service.spooling is not None:
            service.spooling.start()
        yield
        background.cancel()
        with suppress(asyncio.CancelledError):
            await background
        await service.close()

    app = FastAPI(title="Aforo edge", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    # Routes are tried in order and routers within routers cost a match each: the busiest come first, directly.
    add_access_routes(app, service)
    add_ingest_routes(app, service)
    add_preflight_routes(app, service)
    add_reservation_routes(app, service)
    add_upload_routes(app, service, worker)
    add_webhook_routes(app, service)
    add_session_routes(app, service)
    add_health_routes(app, service)
    app.add_exception_handler(RedisError, _unavailable)
    app.add_exception_handler(OSError, _unavailable)
    app.add_exception_handler(TransientFailure, _unavailable)
    app.add_exception_handler(ClientDisconnect, _gone)
    document.install(app)
    envelope.install(app)
    return app


def _settle_memory() -> None:
    """What exists at the start stays: the collector need not walk it again and again, which held up requests for
    milliseconds. Requests make few cycles, so it also runs less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def app_from_env() -> FastAPI:
    """The edge as its environment describes it; what uvicorn's workers start."""
    return create_app(EdgeSettings.from_env())


async def _unavailable(request: Request, error: Exception) -> Response:
    """Nothing was promised, so the client keeps its events and tries again."""
    code, detail = "REDIS_UNAVAILABLE", "The event log does not answer; try again."
    if isinstance(error, TransientFailure):
        code, detail = error.code, str(error)
    elif isinstance(error, OutOfMemoryError):
        code, detail = "LOG_FULL", "The event log is full until it is drained; try again."
    raise Problem(503, detail, code=code, headers=_RETRY) from error


async def _gone(request: Request, error: Exception) -> Response:
    """The client went away in the middle of its body: nobody is there to read this, and nothing was kept."""
    return Response(status_code=400)
