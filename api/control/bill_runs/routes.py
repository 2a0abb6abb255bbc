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
from storage.repositories.bill_requests import BillRequests
from storage.tables.operations import BillRequestRow
from storage.tables.tenants import TenantRow
from storage.tenancy import Tx


class BillRunRequest(Body):
    """What to bill: one calendar month in the tenant's time zone, of all customers or some."""

    billing_period_start: Instant
    billing_period_end: Instant
    billing_period_label: str | None = None
    target_scope: Literal["ALL", "CUSTOMER", "SUBSCRIPTION", "OFFERING"] = "ALL"
    customer_ids: list[str] = Field(default_factory=list)
    auto_finalize: bool = False
    environment: Literal["LIVE", "TEST"] = "LIVE"
    notes: str | None = None


def bill_run_routes(door: Door) -> APIRouter:
    """POST /api/v1/bill-runs (201), POST /{id}/execute (202), GET /{id}."""
    router = managed_router("/api/v1/bill-runs", "bill runs")

    @router.post("", status_code=201)
    def create(body: BillRunRequest, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Ask for a bill run of one calendar month; it begins when it is executed."""
        _supported(body)
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

    return router


def _create(tx: Tx, body: BillRunRequest) -> dict[str, Any]:
    tenant = tx.session.get_one(TenantRow, tx.tenant_id)
    row = BillRequests(tx.session, tx.tenant_id, tx.actor).create(
        _month(body, tenant.time_zone),
        customers=body.customer_ids,
        auto_finalize=body.auto_finalize,
        notes=body.notes,
    )
    return _shown(row)


def _supported(body: BillRunRequest) -> None:
    """Raises Problem (422) naming the field that asks for what does not exist yet."""
    if body.target_scope in ("SUBSCRIPTION", "OFFERING"):
        _refuse("targetScope", f"{body.target_scope} is not supported yet; use ALL or CUSTOMER")
    if (body.target_scope == "CUSTOMER") != bool(body.customer_ids):
        _refuse("customerIds", "must name at least one customer with targetScope CUSTOMER, and none with ALL")
    if body.environment != "LIVE":
        _refuse("environment", "TEST is not supported yet; use LIVE")


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
            "customer_ids": row.customers,
            "invoices_generated": row.invoices_generated,
            "customers_processed": row.customers_processed,
            "progress_pct": 100 if row.completed_at else 0,
            "duration_ms": None if took is None else int(took.total_seconds() * 1000),
            "started_at": row.started_at,
            "completed_at": row.completed_at,
            "error": row.error,
        }
    )
