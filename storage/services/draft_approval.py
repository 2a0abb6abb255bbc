"""Drafts that somebody approves. Put here: issuing all drafts of a month, tenant or customers at once. Keep out: issuing one
(repositories/invoice_states.py), drafts that are issued by themselves (invoice_upkeep.py)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.actor import Actor
from domain.errors import PermanentFailure
from domain.invoice_life import DRAFT
from domain.period import month_bounds, parse_month
from storage.bill_claims import is_billed_now
from storage.repositories.invoice_states import InvoiceStates
from storage.tables.invoices import InvoiceRow


@dataclass(frozen=True, slots=True)
class Drafts:
    """Which drafts: those of a tenant's month, of these customers or (none named) of all."""

    tenant_id: str
    month: str
    customers: Collection[str] = ()


class MonthNotEnded(PermanentFailure):
    """A month still running is not approved as a whole."""

    code = "MONTH_NOT_ENDED"
    exit_code = 3

    def __init__(self, month: str) -> None:
        super().__init__(f"month {month} has not ended; its drafts can be approved once it has")


def require_ended(session: Session, month: str) -> None:
    """Raises NotAMonth, MonthNotEnded."""
    parse_month(month)
    now = session.scalar(select(func.now()))
    if now is None or month_bounds(month).end > now:
        raise MonthNotEnded(month)


def tenants_with_drafts(session: Session, month: str) -> list[str]:
    """Tenants that have drafts of the month."""
    row = InvoiceRow
    query = select(row.tenant_id).where(row.month == month, row.status == DRAFT).distinct()
    return list(session.scalars(query.order_by(row.tenant_id)))


def issue_drafts(
    session: Session, drafts: Drafts, actor: str | Actor
) -> tuple[list[InvoiceRow], list[dict[str, Any]]]:
    """Issue them: (those issued, those that could not be: tenantId, customerId, number, reason). What is issued already stays as it
    is, so doing it again changes nothing. While the month is being billed, none is."""
    row = InvoiceRow
    query = select(row).where(
        row.tenant_id == drafts.tenant_id, row.month == drafts.month, row.status == DRAFT
    )
    if drafts.customers:
        query = query.where(row.customer_id.in_(list(drafts.customers)))
    found = session.scalars(query.order_by(row.number)).all()
    if found and is_billed_now(session, drafts.tenant_id, drafts.month):
        busy = "the month is being billed; approve its drafts when the run has finished"
        return [], [_failure(each, busy) for each in found]
    states = InvoiceStates(session, drafts.tenant_id, actor)
    issued, failed = [], []
    for each in found:
        try:
            with session.begin_nested():
                issued.append(states.finalize(each.id))
        except PermanentFailure as error:
            failed.append(_failure(each, str(error)))
    return issued, failed


def _failure(row: InvoiceRow, reason: str) -> dict[str, Any]:
    return {
        "tenantId": row.tenant_id,
        "customerId": row.customer_id,
        "number": row.number,
        "reason": reason,
    }
