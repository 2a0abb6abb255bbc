"""The management door as an application. Put here: what it is made of, how failures become answers. Keep out: routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles

from api import envelope
from api.control.bill_runs.routes import bill_run_routes
from api.control.health import health_routes
from api.control.invoices.routes import invoice_routes
from api.control.operator import Operators
from api.control.settings import ControlSettings
from api.problems import FieldError, Problem
from domain.errors import AforoError, TransientFailure
from storage.database import make_engine

STATUS_OF = {
    "INVOICE_NOT_FOUND": 404,
    "BILL_RUN_NOT_FOUND": 404,
    "INVOICE_STATE_CONFLICT": 409,
    "BILL_RUN_IN_PROGRESS": 409,
    "BILL_RUN_NOT_STARTABLE": 409,
    "NOT_A_MONTH": 422,
}
"""The status of each failure that is the caller's to solve."""


def create_app(settings: ControlSettings) -> FastAPI:
    """The door over one database. It connects with the first request, not now."""
    engine = make_engine(settings.database_url)
    docs = settings.home / "data-docs"
    docs.mkdir(parents=True, exist_ok=True)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        engine.dispose()

    app = FastAPI(title="Aforo control", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    operators = Operators(engine, settings.home)
    app.include_router(health_routes(engine, settings.redis_url))
    app.include_router(invoice_routes(engine, operators))
    app.include_router(bill_run_routes(engine, operators))
    app.mount("/data-docs", StaticFiles(directory=docs, html=True), name="data-docs")
    app.add_exception_handler(AforoError, _failure)
    app.add_exception_handler(RequestValidationError, _invalid)
    envelope.install(app)
    return app


async def _failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, AforoError)
    if isinstance(error, TransientFailure):
        raise Problem(503, str(error), code=error.code, headers={"Retry-After": "1"}) from error
    raise Problem(STATUS_OF.get(error.code, 422), str(error), code=error.code) from error


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = [FieldError(_path(each["loc"]), each["msg"], each["type"]) for each in error.errors()]
    malformed = any(field.code == "json_invalid" for field in fields)
    detail = "; ".join(f"{field.field}: {field.message}" for field in fields)
    raise Problem(400 if malformed else 422, detail, errors=() if malformed else fields) from None


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part != "body") or "body"
