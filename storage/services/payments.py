"""Payments of invoices. Put here: reading one made by hand, collecting one through a provider. Keep out: talking to a provider
(providers.payments), what a payment does to its invoice (repositories.invoice_states)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from sqlalchemy import func, select

from domain.catalog.fields import FieldProblem, Fields
from domain.errors import BadRequest, Conflict
from domain.invoice_life import UNPAID
from domain.money import unpadded
from storage.repositories.invoice_states import InvoiceStateConflict, InvoiceStates, Payment
from storage.tables.invoices import InvoiceRow
from storage.tables.money import PaymentGatewayRow, PaymentMethodRow
from storage.tables.receivables import PaymentRow
from storage.tenancy import Tx


def read_payment(fields: Fields) -> Payment | None:
    """None: all that is left. Raises FieldProblem."""
    amount = fields.price("amount")
    reference = fields.maybe_text("reference")
    fields.done()
    if amount is None and reference is None:
        return None
    if amount is not None and (amount == 0 or amount != unpadded(amount).quantize(Decimal("0.0001"))):
        raise FieldProblem("amount", f"{amount} cannot be paid; say an amount above 0 in whole minor units")
    return Payment(amount, reference=reference)


class NoPaymentMethod(BadRequest):
    """There is nothing to take the money from."""

    code = "NO_PAYMENT_METHOD"

    def __init__(self, customer_id: str) -> None:
        super().__init__(
            f"customer {customer_id} has no default payment method; add one, or note a payment by hand"
        )


class PaymentPending(Conflict):
    """The provider has not decided about the last payment yet."""

    code = "PAYMENT_PENDING"

    def __init__(self, number: str, payment: str) -> None:
        super().__init__(f"invoice {number}: payment {payment} is still pending; wait for it")


@dataclass(frozen=True, slots=True)
class Due:
    """What a provider is to take. key: the same for the same attempt, so that a crash between provider and commit charges once."""

    amount: Decimal
    currency: str
    token: str
    customer: str | None
    key: str
    description: str


class Taken(Protocol):
    """How it went, as a provider says it."""

    @property
    def status(self) -> str: ...
    @property
    def reference(self) -> str | None: ...
    @property
    def failure_code(self) -> str | None: ...


Charge = Callable[[PaymentGatewayRow, Due], Taken]


def collect(tx: Tx, reference: str, charge: Charge) -> InvoiceRow:
    """Take what is left of an invoice from the customer's default payment method. charge: asks the gateway's provider. A declined
    payment is kept as FAILED. Raises InvoiceStateConflict, NoPaymentMethod, PaymentPending, and what `charge` raises."""
    states = InvoiceStates(tx.session, tx.tenant_id, tx.actor, at=tx.at)
    row = states.locked(reference)
    if row.status not in UNPAID:
        raise InvoiceStateConflict(row.number, row.status, "collect", " or ".join(UNPAID))
    method = _default_method(tx, row.customer_id)
    gateway = tx.session.get_one(PaymentGatewayRow, (tx.tenant_id, method.gateway_id))
    payment = PaymentRow
    of_invoice = payment.tenant_id == tx.tenant_id, payment.invoice_id == row.id
    pending = tx.session.scalar(select(payment.id).where(*of_invoice, payment.status == "PENDING"))
    if pending is not None:
        raise PaymentPending(row.number, pending)
    attempt = (tx.session.scalar(select(func.count()).where(*of_invoice)) or 0) + 1
    due = Due(
        amount=row.left,
        currency=row.currency,
        token=method.gateway_token,
        customer=method.gateway_customer_id,
        key=f"{tx.tenant_id}:{row.id}:{attempt}",
        description=f"Invoice {row.number}",
    )
    taken = charge(gateway, due)
    found = Payment(due.amount, gateway.gateway_type, taken.status, taken.reference, taken.failure_code)
    return states.pay(row.id, found)


def _default_method(tx: Tx, customer_id: str) -> PaymentMethodRow:
    row = PaymentMethodRow
    live = (
        row.tenant_id == tx.tenant_id,
        row.customer_id == customer_id,
        row.is_default,
        row.archived_at.is_(None),
    )
    found = tx.session.scalars(select(row).where(*live)).one_or_none()
    if found is None:
        raise NoPaymentMethod(customer_id)
    return found
