"""The routes of bill runs. Put here: reading the request, shaping the answer. Keep out: running (a sensor sees the request)."""

from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body, Instant
from api.control.calls import Area, Call, Door, managed_router
from api.problems import FieldError, Problem
from domain.period import billing_month
from storage.repositories.bill_requests import EVERYBODY, BillRequests, NoResult, Target
from storage.repositories.bill_targets import target_of
from storage.tables.operations import BillRequestRow
from storage.tables.tenants import TenantRow
from storage.tenancy import Tx


class BillRunRequest(Body):
    """What to bill: one calendar month in the tenant's time zone, of all customers or some. An invoice is a customer's, so a run of
    subscriptions or offerings bills the customers that have them, whole. TEST computes everything and posts nothing."""

    billing_period_start: Instant
    billing_period_end: Instant
    billing_period_label: str | None = None
    target_scope: Literal["ALL", "CUSTOMER", "SUBSCRIPTION", "OFFERING"] = "ALL"
    customer_ids: list[str] = Field(default_factory=list)
    subscription_ids: list[str] = Field(default_factory=list)
    offering_ids: list[str] = Field(default_factory=list)
    auto_finalize: bool = False
    environment: Literal["LIVE", "TEST"] = "LIVE"
    notes: str | None = None


def bill_run_routes(door: Door) -> APIRouter:
    """POST /api/v1/bill-runs (201), POST /{id}/execute (202), GET /{id}, GET /{id}/result."""
    router = managed_router("/api/v1/bill-runs", "bill runs")

    @router.post("", status_code=201)
    def create(body: BillRunRequest, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Ask for a bill run of one calendar month; it begins when it is executed."""
        return call.write(lambda tx: _create(tx, body), status=201)

    @router.post("/{run}/execute", status_code=202)
    def execute(run: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Queue a bill run; it starts within seconds."""
        return call.write(
            lambda tx: _shown(BillRequests(tx.session, tx.tenant_id, tx.actor).execute(run)), status=202
        )

    @router.get("/{run}")
    def one(run: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """How far a bill run is."""
        return call.read(lambda tx: _shown(BillRequests(tx.session, tx.tenant_id).get(run)))

    @router.get("/{run}/result")
    def result(run: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """What a TEST run came to: each invoice with its lines, who would be held and why, what the gates say."""
        return call.read(lambda tx: _result(tx, run))

    return router


def _create(tx: Tx, body: BillRunRequest) -> dict[str, Any]:
    tenant = tx.session.get_one(TenantRow, tx.tenant_id)
    row = BillRequests(tx.session, tx.tenant_id, tx.actor).create(
        _month(body, tenant.time_zone),
        target=_target(tx, body),
        environment=body.environment,
        auto_finalize=_auto_finalize(body),
        notes=body.notes,
    )
    return _shown(row)


def _target(tx: Tx, body: BillRunRequest) -> Target:
    """Whom the run is for. Raises Problem (422) where the ids do not fit the scope, and what `target_of` raises."""
    asked = {
        "CUSTOMER": ("customerIds", body.customer_ids),
        "SUBSCRIPTION": ("subscriptionIds", body.subscription_ids),
        "OFFERING": ("offeringIds", body.offering_ids),
    }
    for scope, (field, ids) in asked.items():
        if scope == body.target_scope and not ids:
            _refuse(field, f"must name at least one with targetScope {scope}")
        if scope != body.target_scope and ids:
            _refuse(field, f"means nothing with targetScope {body.target_scope}; leave it out")
    if body.target_scope == "ALL":
        return EVERYBODY
    field, ids = asked[body.target_scope]
    return target_of(tx.session, tx.tenant_id, body.target_scope, field, ids)


def _auto_finalize(body: BillRunRequest) -> bool:
    if body.auto_finalize and body.environment == "TEST":
        _refuse("autoFinalize", "a TEST run makes no invoice that could be finalized; leave it out")
    return body.auto_finalize


def _result(tx: Tx, run: str) -> dict[str, Any]:
    row = BillRequests(tx.session, tx.tenant_id).get(run)
    if row.result is None:
        raise NoResult(run, row.environment, row.status)
    return dict(row.result)


def _month(body: BillRunRequest, time_zone: str) -> str:
    """The month billed. Raises Problem (422) unless the period is exactly one month of the tenant's calendar."""
    month = billing_month(body.billing_period_end, time_zone)
    first, last = _local(body.billing_period_start, time_zone), _local(body.billing_period_end, time_zone)
    if not (_is_month_start(first) and _is_month_start(last) and first.strftime("%Y-%m") == month):
        _refuse(
            "billingPeriodStart", f"a run bills one calendar month, [start, end) in the time zone {time_zone}"
        )
    return month


def _local(instant: datetime, time_zone: str) -> datetime:
    return instant.astimezone(ZoneInfo(time_zone))


def _is_month_start(local: datetime) -> bool:
    return (local.day, local.hour, local.minute, local.second, local.microsecond) == (1, 0, 0, 0, 0)


def _refuse(field: str, message: str) -> None:
    error = FieldError(field, message, "INVALID_FIELD")
    raise Problem(422, f"{field}: {message}", code="INVALID_FIELD", errors=[error])


def _shown(row: BillRequestRow) -> dict[str, Any]:
    took = (row.completed_at - row.started_at) if row.completed_at and row.started_at else None
    return camel(
        {
            "id": row.id,
            "status": row.status,
            "month": row.month,
            "environment": row.environment,
            "target_scope": row.scope,
            "target_ids": row.targets,
            "customer_ids": row.customers,
            "invoices_generated": row.invoices_generated,
            "customers_processed": row.customers_processed,
            "progress_pct": 100 if row.completed_at else row.progress,
            "duration_ms": None if took is None else int(took.total_seconds() * 1000),
            "started_at": row.started_at,
            "completed_at": row.completed_at,
            "failures": row.failures,
            "error": row.error,
        }
    )
