"""What happens to invoices by itself. Put here: issuing drafts after their grace period, overdue, reminders, giving up. Keep out: when
that is (domain.invoice_life), who asks for it (orchestration)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from domain.actor import SYSTEM
from domain.errors import PermanentFailure
from domain.invoice_life import (
    DRAFT,
    GRACE_DAYS,
    OPEN,
    OVERDUE,
    PERIOD,
    is_given_up,
    is_overdue,
    issued_from,
    reminders_due,
)
from storage.database import session_scope
from storage.repositories.invoice_appearance import terms_of
from storage.repositories.invoice_states import InvoiceStates, usage_ends_at
from storage.services.credited_adjustments import CreditedAdjustments, NothingToCredit, credits_due
from storage.services.messages import write_reminder
from storage.tables.invoices import InvoiceRow
from storage.tables.tenants import BillingEntityRow, TenantRow
from storage.tenancy import Tx, tenant_tx


@dataclass(slots=True)
class Round:
    """What a round did, as counts; stuck: invoices that could not be moved on, and why."""

    issued: int = 0
    overdue: int = 0
    reminded: int = 0
    given_up: int = 0
    credited: int = 0
    stuck: dict[str, str] = field(default_factory=dict)


def keep_invoices(engine: Engine, at: datetime) -> Round:
    """Move on every invoice something is due for by `at`, of all tenants; a transaction each, so that one failure holds up nothing
    else. Repeating it changes nothing."""
    done = Round()
    with session_scope(engine) as session:
        tenants = session.scalars(
            select(TenantRow.id).where(TenantRow.archived_at.is_(None)).order_by(TenantRow.id)
        ).all()
    for tenant_id in tenants:
        with tenant_tx(engine, tenant_id, SYSTEM, at=at) as tx:
            drafts, unpaid = _drafts_due(tx.session, tenant_id, at), _unpaid(tx.session, tenant_id)
        for invoice_id in [*drafts, *unpaid]:
            try:
                with tenant_tx(engine, tenant_id, SYSTEM, at=at) as tx:
                    states = InvoiceStates(tx.session, tenant_id, SYSTEM, at=at)
                    _move_on(
                        tx,
                        states,
                        states.locked(invoice_id),
                        _today(tx.session, states.get(invoice_id), at),
                        done,
                    )
            except PermanentFailure as error:
                done.stuck[f"{tenant_id}/{invoice_id}"] = str(error)
        _credit_what_exceeds(engine, tenant_id, at, done)
    return done


def _credit_what_exceeds(engine: Engine, tenant_id: str, at: datetime, done: Round) -> None:
    with tenant_tx(engine, tenant_id, SYSTEM, at=at) as tx:
        waiting = credits_due(tx)
    for adjustment_id in waiting:
        try:
            with tenant_tx(engine, tenant_id, SYSTEM, at=at) as tx:
                CreditedAdjustments(tx).credit(adjustment_id)
            done.credited += 1
        except NothingToCredit:  # Its invoice is void or credited by hand: the next invoice carries it.
            continue
        except PermanentFailure as error:
            done.stuck[f"{tenant_id}/{adjustment_id}"] = str(error)


def _drafts_due(session: Session, tenant_id: str, at: datetime) -> list[str]:
    """Drafts whose grace period is over, unless the tenant issues its invoices itself."""
    terms = terms_of(session, tenant_id)
    if not terms.get("autoFinalize", True):
        return []
    grace = terms.get("invoiceGraceDays", GRACE_DAYS)
    row = InvoiceRow
    query = (
        select(row)
        .where(row.tenant_id == tenant_id, row.status == DRAFT, row.kind == PERIOD)
        .order_by(row.number)
    )
    return [
        draft.id
        for draft in session.scalars(query)
        if issued_from(usage_ends_at(session, draft), draft.updated_at, grace) <= at
    ]


def _unpaid(session: Session, tenant_id: str) -> list[str]:
    row = InvoiceRow
    waiting = row.tenant_id == tenant_id, row.status.in_((OPEN, OVERDUE)), row.due_date.is_not(None)
    return list(session.scalars(select(row.id).where(*waiting).order_by(row.number)))


def _today(session: Session, row: InvoiceRow, at: datetime) -> date:
    issuer = session.get_one(BillingEntityRow, (row.tenant_id, row.billing_entity))
    return at.astimezone(ZoneInfo(issuer.time_zone)).date()


def _move_on(tx: Tx, states: InvoiceStates, row: InvoiceRow, today: date, done: Round) -> None:
    if row.status == DRAFT:
        states.finalize(row.id)
        done.issued += 1
        return
    if row.status not in (OPEN, OVERDUE) or row.due_date is None or not is_overdue(row.due_date, today):
        return
    if row.status == OPEN:
        states.overdue(row)
        done.overdue += 1
    # One reminder a round: after an outage a customer does not get all of them at once.
    if reminders_due(row.due_date, today) > row.reminders:
        states.remind(row, row.reminders + 1)
        write_reminder(tx.session, row, tx.at)
        done.reminded += 1
    elif is_given_up(row.due_date, today, row.reminders):
        states.give_up(row)
        done.given_up += 1
