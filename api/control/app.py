"""The management door as an application. Put here: what it is made of, the list of its nouns. Keep out: routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles

from api import envelope
from api.control import failures, openapi
from api.control.accessors.routes import agent_routes, app_routes
from api.control.api_keys.routes import api_key_routes
from api.control.audit.routes import audit_routes
from api.control.bill_runs.routes import bill_run_routes
from api.control.billing_entities.routes import billing_entity_routes, provisioning_routes
from api.control.calls import Door
from api.control.coupons.routes import coupon_routes
from api.control.credit_notes.routes import credit_note_routes
from api.control.customers.routes import customer_routes
from api.control.events.internal import internal_event_routes
from api.control.events.routes import event_routes
from api.control.health import health_routes
from api.control.invoices.preview import preview_routes
from api.control.invoices.routes import invoice_routes
from api.control.limits.routes import margin_level_routes, request_limit_routes, session_routes
from api.control.metrics.routes import metric_routes
from api.control.monitoring import metrics_routes
from api.control.oauth.routes import oauth_routes
from api.control.offerings.routes import offering_routes
from api.control.operator_keys.routes import operator_key_routes
from api.control.organization.routes import organization_routes
from api.control.pages import page_routes
from api.control.payments.routes import payment_gateway_routes, payment_method_routes
from api.control.products.routes import product_routes
from api.control.rateplans.routes import rate_limit_routes, rate_plan_routes
from api.control.rates import RateLimit
from api.control.replays.routes import evidence_key_routes, replay_routes
from api.control.settings import ControlSettings
from api.control.subscriptions.routes import dunning_routes, subscription_routes, subscription_upkeep_routes
from api.control.taxes.routes import fx_rate_routes, tax_rate_routes
from api.control.teams.routes import team_routes
from api.control.tenants.routes import tenant_routes
from api.control.wallets.credits import alert_routes, grant_routes, hold_routes
from api.control.wallets.routes import debit_routes, wallet_routes
from api.control.webhook_sources.routes import webhook_source_routes
from api.meters import Measured, Meters
from api.monitoring import Worker
from storage.database import make_engine

THREADS = 40
"""Requests that are worked on at once: the size of the pool FastAPI runs plain functions in."""

ROUTES: tuple[Callable[[Door], APIRouter], ...] = (
    api_key_routes,
    oauth_routes,
    invoice_routes,
    credit_note_routes,
    preview_routes,
    bill_run_routes,
    rate_plan_routes,
    rate_limit_routes,
    offering_routes,
    operator_key_routes,
    audit_routes,
    product_routes,
    metric_routes,
    subscription_routes,
    subscription_upkeep_routes,
    dunning_routes,
    coupon_routes,
    wallet_routes,
    debit_routes,
    grant_routes,
    hold_routes,
    alert_routes,
    payment_gateway_routes,
    payment_method_routes,
    webhook_source_routes,
    tenant_routes,
    billing_entity_routes,
    provisioning_routes,
    customer_routes,
    team_routes,
    request_limit_routes,
    margin_level_routes,
    session_routes,
    app_routes,
    agent_routes,
    organization_routes,
    tax_rate_routes,
    fx_rate_routes,
    replay_routes,
    event_routes,
    internal_event_routes,
    evidence_key_routes,
)
"""The nouns of this door, one entry each."""


def create_app(settings: ControlSettings) -> FastAPI:
    """The door over one database. It connects with the first request, not now."""
    # A connection for every thread, since each needs one at a time; idle ones beyond a dozen are given back.
    engine = make_engine(settings.database_url, pool_size=12, max_overflow=THREADS - 12)
    docs = settings.home / "data-docs"
    docs.mkdir(parents=True, exist_ok=True)

    numbers = Worker(Meters(), f"control-{settings.port}", settings.home / "run")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        counting = asyncio.create_task(numbers.run())
        yield
        counting.cancel()
        with suppress(asyncio.CancelledError):
            await counting
        engine.dispose()

    app = FastAPI(
        title="Aforo control",
        version="1",
        lifespan=lifespan,
        openapi_url="/v3/api-docs",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    door = Door(engine, settings.home, settings.redis_url, settings.lake_url)
    routers = [
        health_routes(engine, settings.redis_url),
        metrics_routes(engine, numbers, settings.metrics_from),
        *(routes(door) for routes in ROUTES),
        page_routes(app),
    ]
    for router in routers:
        app.include_router(router)
    app.mount("/data-docs", StaticFiles(directory=docs, html=True), name="data-docs")
    failures.install(app, [route for router in routers for route in router.routes])
    openapi.install(app)
    app.add_middleware(RateLimit, limit=settings.requests_per_minute)
    envelope.install(app)
    app.add_middleware(Measured, meters=numbers.meters)
    return app
