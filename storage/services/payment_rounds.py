"""Payments taken by themselves. Put here: taking what is due from customers' payment methods, on the days of attempts. Keep out: taking
one (payments.py), what a failure does to a subscription (dunning.py).

The first attempt is made when an invoice is due, the others 3 and 7 days after the first failure. A failure counts for the
subscriptions on the invoice: the first makes them PAST_DUE, the third SUSPENDED; money makes them ACTIVE again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, select

from domain.actor import SYSTEM
from domain.dunning import ATTEMPT_DAYS, next_attempt_at
from domain.errors import AforoError
from domain.invoice_life import OPEN, OVERDUE, PAID
from domain.subscription_states import RETRYABLE, State
from storage.database import session_scope
from storage.repositories.invoice_states import InvoiceStates, payments_of
from storage.services.dunning import FAILED, SUCCEEDED, Dunning
from storage.services.payments import Due, Taken, collect
from storage.tables.invoices import InvoiceLineRow, InvoiceRow
from storage.tables.money import PaymentGatewayRow, PaymentMethodRow
from storage.tables.subscriptions import SubscriptionRow
from storage.tables.tenants import BillingEntityRow
from storage.tenancy import Tx, tenant_tx

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
    for tenant_id, invoice_id in _unpaid(engine):
        try:
            with tenant_tx(engine, tenant_id, SYSTEM, at=at) as tx:
                _attempt(tx, invoice_id, charge, done)
        except AforoError as error:
            done.stuck[f"{tenant_id}/{invoice_id}"] = str(error)
    return done


def _unpaid(engine: Engine) -> list[tuple[str, str]]:
    """Unpaid invoices of customers whose money can be taken."""
    row, method, gateway = InvoiceRow, PaymentMethodRow, PaymentGatewayRow
    query = (
        select(row.tenant_id, row.id)
        .join(method, (method.tenant_id == row.tenant_id) & (method.customer_id == row.customer_id))
        .join(gateway, (gateway.tenant_id == method.tenant_id) & (gateway.id == method.gateway_id))
        .where(
            row.status.in_((OPEN, OVERDUE)),
            row.due_date.is_not(None),
            method.is_default,
            method.archived_at.is_(None),
            gateway.gateway_type != "MANUAL",
        )
    )
    with session_scope(engine) as session:
        return list(session.execute(query.order_by(row.tenant_id, row.number)).tuples())


def _attempt(tx: Tx, invoice_id: str, charge: ChargeIn, done: Taking) -> None:
    states = InvoiceStates(tx.session, tx.tenant_id, tx.actor, at=tx.at)
    row = states.locked(invoice_id)
    if row.status not in (OPEN, OVERDUE) or not _is_due(tx, row):
        return
    after = collect(tx, row.id, lambda gateway, due: charge(tx, gateway, due))
    if after.status == PAID:
        done.paid += 1
        _tell_subscriptions(tx, row.id, SUCCEEDED)
    elif payments_of(tx.session, row)[-1].status == FAILED:
        done.failed += 1
        _tell_subscriptions(tx, row.id, FAILED)
    else:
        done.pending += 1


def _is_due(tx: Tx, row: InvoiceRow) -> bool:
    issuer = tx.session.get_one(BillingEntityRow, (tx.tenant_id, row.billing_entity))
    today = tx.at.astimezone(ZoneInfo(issuer.time_zone)).date()
    if row.due_date is None or today < row.due_date:
        return False
    payments = payments_of(tx.session, row)
    if any(each.status == "PENDING" for each in payments):
        return False
    failed = [each.created_at for each in payments if each.status == FAILED]
    if not failed:
        return True
    following = next_attempt_at(min(failed), len(failed)) if len(failed) < len(ATTEMPT_DAYS) else None
    return following is not None and following <= tx.at


def _tell_subscriptions(tx: Tx, invoice_id: str, outcome: str) -> None:
    """Count the attempt for the subscriptions on the invoice. Those that are over, or paused, are no matter of payments."""
    line, row = InvoiceLineRow, SubscriptionRow
    billed = select(line.subscription_id).where(
        line.tenant_id == tx.tenant_id, line.invoice_id == invoice_id, line.subscription_id.is_not(None)
    )
    concerned = RETRYABLE if outcome == SUCCEEDED else RETRYABLE | {State.ACTIVE}
    query = select(row.id).where(
        row.tenant_id == tx.tenant_id, row.id.in_(billed), row.status.in_([each.value for each in concerned])
    )
    for subscription in tx.session.scalars(query.order_by(row.id)).all():
        Dunning(tx).update(subscription, {"outcome": outcome})
