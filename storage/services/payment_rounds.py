"""Payments taken by themselves. Put here: taking what is due from customers' payment methods, on the days of attempts. Keep out: taking
one (payments.py), what a failure does to a subscription (dunning.py).

Attempts are a subscription's: the first is made when an invoice of it is due, the others 3 and 7 days after the first failure, each
for all it owes by then. The first that fails makes it PAST_DUE, the third SUSPENDED; once all that failed is paid it is ACTIVE again.
An invoice without subscriptions counts its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, Select, func, select
from sqlalchemy.orm import Session

from domain.actor import SYSTEM
from domain.dunning import is_attempt_due
from domain.errors import AforoError
from domain.invoice_life import OPEN, OVERDUE, PAID, UNPAID
from domain.subscription_states import RETRYABLE, State
from storage.database import session_scope
from storage.repositories.invoice_states import InvoiceStates, payments_of
from storage.services.dunning import FAILED, SUCCEEDED, Dunning
from storage.services.payments import Due, Taken, collect
from storage.tables.invoices import InvoiceLineRow, InvoiceRow
from storage.tables.money import PaymentGatewayRow, PaymentMethodRow
from storage.tables.receivables import PaymentRow
from storage.tables.subscriptions import SubscriptionRow
from storage.tables.tenants import BillingEntityRow
from storage.tenancy import Tx, tenant_tx

PENDING = "PENDING"
ChargeIn = Callable[[Tx, PaymentGatewayRow, Due], Taken]
"""Asks the gateway's provider, in the tenant's transaction (for its keys)."""


@dataclass(slots=True)
class Taking:
    """What a round did, as counts; stuck: invoices that could not be charged, and why."""

    paid: int = 0
    failed: int = 0
    pending: int = 0
    stuck: dict[str, str] = field(default_factory=dict)


def take_payments(engine: Engine, charge: ChargeIn, at: datetime) -> Taking:
    """Take what is due at `at` from the default payment methods of all tenants' customers, a transaction each. Methods of MANUAL
    gateways are left alone: that money comes by itself. Repeating it charges nothing again before the next day of attempts."""
    done = Taking()
    # All of it before the first attempt, whose failure puts off what else its subscriptions owe.
    for tenant_id, invoice_id, tried in _due(engine, at):
        try:
            with tenant_tx(engine, tenant_id, SYSTEM, at=at) as tx:
                _attempt(tx, invoice_id, tried, charge, done)
        except AforoError as error:
            done.stuck[f"{tenant_id}/{invoice_id}"] = str(error)
    for tenant_id, subscription_id in _settled(engine):
        try:
            with tenant_tx(engine, tenant_id, SYSTEM, at=at) as tx:
                Dunning(tx).update(subscription_id, {"outcome": SUCCEEDED})
        except AforoError as error:
            done.stuck[f"{tenant_id}/{subscription_id}"] = str(error)
    return done


def _due(engine: Engine, at: datetime) -> list[tuple[str, str, int]]:
    """(tenant, invoice, payments tried so far) of what is to be taken now."""
    row, method, gateway = InvoiceRow, PaymentMethodRow, PaymentGatewayRow
    query = (
        select(row)
        .join(method, (method.tenant_id == row.tenant_id) & (method.customer_id == row.customer_id))
        .join(gateway, (gateway.tenant_id == method.tenant_id) & (gateway.id == method.gateway_id))
        .where(
            row.status.in_((OPEN, OVERDUE)),
            # Somewhere it may be tomorrow already.
            row.due_date <= (at + timedelta(days=1)).date(),
            method.is_default,
            method.archived_at.is_(None),
            gateway.gateway_type != "MANUAL",
        )
    )
    with session_scope(engine) as session:
        unpaid = session.scalars(query.order_by(row.tenant_id, row.number)).all()
        return [
            (each.tenant_id, each.id, len(payments))
            for each in unpaid
            if _is_due(session, each, payments := payments_of(session, each), at)
        ]


def _is_due(session: Session, row: InvoiceRow, payments: list[PaymentRow], at: datetime) -> bool:
    """Whether it is a day of attempts: of its subscriptions, which count; of an invoice without any in question, its own."""
    issuer = session.get_one(BillingEntityRow, (row.tenant_id, row.billing_entity))
    today = at.astimezone(ZoneInfo(issuer.time_zone)).date()
    if row.due_date is None or today < row.due_date or any(each.status == PENDING for each in payments):
        return False
    counting = session.scalars(_subscriptions_on(row.tenant_id, row.id)).all()
    if not counting:
        failed = [each.created_at for each in payments if each.status == FAILED]
        return is_attempt_due(min(failed, default=None), len(failed), at)
    trying = [each for each in counting if each.status != State.SUSPENDED]
    due = (is_attempt_due(each.payment_failed_at, each.dunning_attempt, at) for each in trying)
    return bool(trying) and all(due)


def _attempt(tx: Tx, invoice_id: str, tried: int, charge: ChargeIn, done: Taking) -> None:
    row = InvoiceStates(tx.session, tx.tenant_id, tx.actor, at=tx.at).locked(invoice_id)
    if row.status not in (OPEN, OVERDUE) or len(payments_of(tx.session, row)) != tried:
        return  # somebody else was quicker
    after = collect(tx, row.id, lambda gateway, due: charge(tx, gateway, due))
    if after.status == PAID:
        done.paid += 1
    elif payments_of(tx.session, row)[-1].status == FAILED:
        done.failed += 1
        _count_failure(tx, row.id)
    else:
        done.pending += 1


def _count_failure(tx: Tx, invoice_id: str) -> None:
    """For each subscription on the invoice: one attempt, however many of its invoices fail on that day."""
    for row in tx.session.scalars(_subscriptions_on(tx.tenant_id, invoice_id)).all():
        if is_attempt_due(row.payment_failed_at, row.dunning_attempt, tx.at):
            Dunning(tx).update(row.id, {"outcome": FAILED})


def _subscriptions_on(tenant_id: str, invoice_id: str) -> Select[tuple[SubscriptionRow]]:
    """Those whose attempts are counted; those that are over, or paused, are no matter of payments."""
    line, row = InvoiceLineRow, SubscriptionRow
    billed = select(line.subscription_id).where(
        line.tenant_id == tenant_id, line.invoice_id == invoice_id, line.subscription_id.is_not(None)
    )
    counting = [each.value for each in RETRYABLE | {State.ACTIVE}]
    query = select(row).where(row.tenant_id == tenant_id, row.id.in_(billed), row.status.in_(counting))
    return query.order_by(row.id).execution_options(populate_existing=True)


def _settled(engine: Engine) -> list[tuple[str, str]]:
    """(tenant, subscription) whose payments failed, where all that failed is paid since, or asked for no more."""
    row, line, invoice, payment = SubscriptionRow, InvoiceLineRow, InvoiceRow, PaymentRow
    is_unpaid = func.bool_or(invoice.status.in_(UNPAID))
    query = (
        select(row.tenant_id, row.id)
        .join(line, (line.tenant_id == row.tenant_id) & (line.subscription_id == row.id))
        .join(invoice, (invoice.tenant_id == line.tenant_id) & (invoice.id == line.invoice_id))
        .join(payment, (payment.tenant_id == invoice.tenant_id) & (payment.invoice_id == invoice.id))
        .where(
            row.status.in_([each.value for each in RETRYABLE]),
            row.payment_failed_at.is_not(None),
            payment.status == FAILED,
            payment.created_at >= row.payment_failed_at,
        )
        .group_by(row.tenant_id, row.id)
        .having(~is_unpaid)
    )
    with session_scope(engine) as session:
        return list(session.execute(query.order_by(row.tenant_id, row.id)).tuples())
