"""The routes of bill runs. Put here: reading the request, shaping the answer. Keep out: running (a sensor sees the request)."""

from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Header
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from sqlalchemy import Engine

from api.control.answers import camel, success
from api.control.operator import Operators
from api.problems import FieldError, Problem
from domain.period import billing_month
from storage.database import session_scope
from storage.repositories.bill_requests import BillRequests
from storage.repositories.catalog import CatalogRepository
from storage.tables.operations import BillRequestRow


class BillRunRequest(BaseModel):
    """What to bill: one calendar month in the tenant's time zone, of all customers or some."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    billing_period_start: AwareDatetime
    billing_period_end: AwareDatetime
    billing_period_label: str | None = None
    target_scope: Literal["ALL", "CUSTOMER", "SUBSCRIPTION", "OFFERING"] = "ALL"
    customer_ids: list[str] = Field(default_factory=list)
    auto_finalize: bool = False
    environment: Literal["LIVE", "TEST"] = "LIVE"
    notes: str | None = None


def bill_run_routes(engine: Engine, operators: Operators) -> APIRouter:
    """POST /api/v1/bill-runs (201), POST /{id}/execute (202), GET /{id}."""
    router = APIRouter(prefix="/api/v1/bill-runs", tags=["bill runs"])

    @router.post("", status_code=201)
    def create(
        body: BillRunRequest,
        tenant: Annotated[str, Depends(operators.tenant)],
        idempotency_key: Annotated[str | None, Header()] = None,
    ) -> dict[str, Any]:
        """Write the request down; the same Idempotency-Key gives the same run."""
        _supported(body)
        with session_scope(engine) as session:
            known = CatalogRepository(session, tenant).tenant()
            assert known is not None
            row = BillRequests(session, tenant).create(
                _month(body, known.time_zone),
                customers=body.customer_ids,
                auto_finalize=body.auto_finalize,
                notes=body.notes,
                idempotency_key=idempotency_key,
            )
        return success(_shown(row))

    @router.post("/{run}/execute", status_code=202)
    def execute(run: str, tenant: Annotated[str, Depends(operators.tenant)]) -> dict[str, Any]:
        """Queue it for the sensor."""
        with session_scope(engine) as session:
            return success(_shown(BillRequests(session, tenant).execute(run)))

    @router.get("/{run}")
    def one(run: str, tenant: Annotated[str, Depends(operators.tenant)]) -> dict[str, Any]:
        """How far it is."""
        with session_scope(engine) as session:
            return success(_shown(BillRequests(session, tenant).get(run)))

    return router


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
    raise Problem(422, f"{field}: {message}", errors=[FieldError(field, message)])


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
