"""Finding invoices and moving them on. Put here: lists, look-ups, lines, finalize, pay, remind, void. Keep out: writing bills
(invoices.py), when things happen by themselves (services/invoice_upkeep.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from secrets import token_hex
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from domain.actor import Actor
from domain.errors import Conflict, NotFound, PermanentFailure
from domain.invoice_life import (
    DRAFT,
    OF_A_PERIOD,
    OPEN,
    OVERDUE,
    PAID,
    PERIOD,
    STATUSES,
    THRESHOLD,
    UNCOLLECTIBLE,
    UNPAID,
    VOID,
    due_date,
)
from domain.money import unpadded
from domain.period import month_bounds
from storage.repositories.audit import Audit
from storage.repositories.interim_bills import require_deducted, require_not_deducted
from storage.repositories.invoice_appearance import appearance, due_days
from storage.repositories.paging import PageQuery, keyset
from storage.repositories.wallet_billing import give_back
from storage.tables.invoices import InvoiceLineRow, InvoiceRow
from storage.tables.receivables import PaymentRow
from storage.tables.tenants import BillingEntityRow

__all__ = ["STATUSES", "InvoiceStates", "Wanted", "find_invoices", "lines_of", "locate", "page_of_invoices"]


class InvoiceNotFound(NotFound):
    """No such invoice in this tenant; another tenant's looks the same."""

    code = "INVOICE_NOT_FOUND"
    exit_code = 2

    def __init__(self, reference: str) -> None:
        super().__init__(f"invoice {reference!r} does not exist; `aforo invoices` lists them")


class AmbiguousInvoice(PermanentFailure):
    """Several tenants have an invoice of this number."""

    code = "AMBIGUOUS_INVOICE"
    exit_code = 2

    def __init__(self, number: str, tenants: Sequence[str]) -> None:
        super().__init__(
            f"invoice {number!r} exists in tenants {', '.join(tenants)}; say which with --tenant"
        )


class InvoiceStateConflict(Conflict):
    """The invoice's state does not allow this."""

    code = "INVOICE_STATE_CONFLICT"
    exit_code = 3

    def __init__(self, number: str, status: str, verb: str, needed: str) -> None:
        super().__init__(
            f"invoice {number}: cannot {verb} it, its status is {status}; only {needed} invoices can be"
        )


class InvoicePeriodNotEnded(Conflict):
    """What is still being used cannot be billed for good."""

    code = "INVOICE_PERIOD_NOT_ENDED"
    exit_code = 3

    def __init__(self, number: str, ends_at: datetime) -> None:
        super().__init__(
            f"invoice {number}: its period ends at {ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC; finalize it after that"
        )


class InvoiceHasMoney(Conflict):
    """Money or credit already went to the invoice."""

    code = "INVOICE_HAS_MONEY"
    exit_code = 3

    def __init__(self, number: str, what: str) -> None:
        super().__init__(f"invoice {number}: cannot void it, {what}; credit it with a credit note instead")


class MoreThanIsLeft(Conflict):
    """A payment is for more than is still to be paid."""

    code = "MORE_THAN_IS_LEFT"

    def __init__(self, number: str, amount: Decimal, left: Decimal) -> None:
        super().__init__(
            f"amount: {amount} is more than the {unpadded(left, 2)} left to pay on invoice {number}"
        )


@dataclass(frozen=True, slots=True)
class Payment:
    """How an attempt to pay went. status: PENDING, SUCCEEDED or FAILED. amount None: all that is left."""

    amount: Decimal | None = None
    provider: str = "MANUAL"
    status: str = "SUCCEEDED"
    reference: str | None = None
    failure_code: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which invoices are asked for; None: any."""

    tenant: str | None = None
    customer: str | None = None
    month: str | None = None
    status: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        pairs = (
            (InvoiceRow.tenant_id, self.tenant),
            (InvoiceRow.customer_id, self.customer),
            (InvoiceRow.month, self.month),
            (InvoiceRow.status, self.status),
        )
        return [column == value for column, value in pairs if value is not None]


def find_invoices(
    session: Session, wanted: Wanted, *, limit: int = 1000, offset: int = 0
) -> list[InvoiceRow]:
    """Invoices by month, tenant and number. Without a tenant it sees all: for the operator of the installation only."""
    order = (InvoiceRow.month, InvoiceRow.tenant_id, InvoiceRow.number)
    query = select(InvoiceRow).where(*wanted.conditions()).order_by(*order).limit(limit).offset(offset)
    return list(session.scalars(query))


def count_invoices(session: Session, wanted: Wanted) -> int:
    return session.scalar(select(func.count()).select_from(InvoiceRow).where(*wanted.conditions())) or 0


def page_of_invoices(
    session: Session, wanted: Wanted, page: PageQuery
) -> tuple[list[InvoiceRow], int, str | None]:
    """A page of one tenant's invoices, by month and number unless the page says otherwise; see `keyset`."""
    columns = {
        "month": InvoiceRow.month,
        "customerId": InvoiceRow.customer_id,
        "status": InvoiceRow.status,
        "number": InvoiceRow.number,
    }
    return keyset(session, select(InvoiceRow).where(*wanted.conditions()), columns, page)


def locate(session: Session, reference: str, tenant_id: str | None = None) -> InvoiceRow:
    """An invoice by number or id, of one tenant or (for the operator) of any. Raises InvoiceNotFound, AmbiguousInvoice."""
    query = select(InvoiceRow).where(or_(InvoiceRow.id == reference, InvoiceRow.number == reference))
    found = session.scalars(
        query.where(*Wanted(tenant=tenant_id).conditions()).order_by(InvoiceRow.tenant_id)
    ).all()
    if not found:
        raise InvoiceNotFound(reference)
    if len(found) > 1:
        raise AmbiguousInvoice(reference, [row.tenant_id for row in found])
    return found[0]


def lines_of(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    """The invoice's lines in order, each with all its columns; numbers in `tiers` are text."""
    line = InvoiceLineRow
    query = select(line).where(line.tenant_id == invoice.tenant_id, line.invoice_id == invoice.id)
    order = (line.subscription_id.nulls_first(), line.line_order, line.line_id)
    return [as_dict(row) for row in session.scalars(query.order_by(*order))]


def payments_of(session: Session, invoice: InvoiceRow) -> list[PaymentRow]:
    """The payments of an invoice, failed ones too, in order."""
    row = PaymentRow
    query = select(row).where(row.tenant_id == invoice.tenant_id, row.invoice_id == invoice.id)
    return list(session.scalars(query.order_by(row.created_at, row.id)))


def as_dict(row: InvoiceRow | InvoiceLineRow) -> dict[str, Any]:
    """A row's columns by name."""
    return {column.name: getattr(row, column.key) for column in row.__table__.columns}


class InvoiceStates:
    """One tenant's invoices and their way from DRAFT to OPEN, OVERDUE, UNCOLLECTIBLE, PAID or VOID. Repeating a step changes
    nothing. at: when it happens; None: now, as the database's clock says."""

    def __init__(
        self, session: Session, tenant_id: str, actor: str | Actor = "operator", *, at: datetime | None = None
    ) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._actor = actor
        self._audit = Audit(session, tenant_id, actor)
        self._at = at

    def get(self, reference: str) -> InvoiceRow:
        """By number or id. Raises InvoiceNotFound."""
        return locate(self._session, reference, self._tenant_id)

    def locked(self, reference: str) -> InvoiceRow:
        """The same, for a change: nobody else moves it until the transaction ends. Raises InvoiceNotFound."""
        row_id = self.get(reference).id
        query = select(InvoiceRow).where(InvoiceRow.tenant_id == self._tenant_id, InvoiceRow.id == row_id)
        return self._session.scalars(
            query.with_for_update(), execution_options={"populate_existing": True}
        ).one()

    def finalize(self, reference: str) -> InvoiceRow:
        """DRAFT to OPEN: issued, never edited again; where nothing is to be paid, to PAID. Raises InvoiceStateConflict,
        InvoicePeriodNotEnded, InterimNotDeducted."""
        row = self.locked(reference)
        if row.finalized_at is not None and row.status in (OPEN, PAID):
            return row
        self._require(row, "finalize", DRAFT)
        now = self._now()
        ends_at = usage_ends_at(self._session, row)
        if ends_at > now:
            raise InvoicePeriodNotEnded(row.number, ends_at)
        if row.kind in OF_A_PERIOD:
            require_deducted(self._session, row)
        issuer = self._session.get_one(BillingEntityRow, (self._tenant_id, row.billing_entity))
        row.issued_on = now.astimezone(ZoneInfo(issuer.time_zone)).date()
        row.due_days = due_days(self._session, row) if row.due_days is None else row.due_days
        row.due_date = due_date(row.issued_on, row.due_days)
        row.appearance = appearance(self._session, row)
        row.finalized_at = now
        self._move(row, OPEN, "FINALIZED")
        if row.left <= 0:
            row.paid_at = now
            self._move(row, PAID, "PAID", "nothing is to be paid")
        return row

    def pay(self, reference: str, payment: Payment | None = None) -> InvoiceRow:
        """Take in a payment, of all that is left unless it says otherwise; with nothing left the invoice is PAID.

        Raises InvoiceStateConflict, MoreThanIsLeft.
        """
        row = self.locked(reference)
        if row.status == PAID and payment is None:
            return row
        self._require(row, "pay", *UNPAID)
        received = payment or Payment()
        amount = row.left if received.amount is None else received.amount
        if amount > row.left:
            raise MoreThanIsLeft(row.number, amount, row.left)
        if received.provider == "MANUAL" and received.status == "SUCCEEDED":
            self._close_awaited(row)
        self._session.add(self._payment_row(row, received, amount))
        if received.status == "SUCCEEDED":
            row.paid += amount
            self.settle_if_nothing_is_left(row)
        changes = {
            "paid": {"before": None, "after": str(unpadded(amount, 2))},
            "status": {"after": received.status},
        }
        if row.status != PAID:
            self._audit.record("INVOICE_PAYMENT", "invoice", row.number, changes, received.failure_code)
        self._session.flush()
        return row

    def settle_if_nothing_is_left(self, row: InvoiceRow) -> None:
        """An unpaid invoice (locked) with nothing left to pay is PAID."""
        if row.status in UNPAID and row.left <= 0:
            row.paid_at = self._now()
            self._move(row, PAID, "PAID")

    def overdue(self, row: InvoiceRow) -> None:
        """OPEN to OVERDUE. The row is locked."""
        self._move(row, OVERDUE, "OVERDUE")

    def remind(self, row: InvoiceRow, step: int) -> None:
        """Count a reminder of a locked, overdue invoice."""
        changes = {"reminders": {"before": row.reminders, "after": step}}
        row.reminders, row.reminded_at = step, self._now()
        self._audit.record("INVOICE_REMINDED", "invoice", row.number, changes)
        self._session.flush()

    def give_up(self, row: InvoiceRow) -> None:
        """OVERDUE to UNCOLLECTIBLE. The row is locked."""
        self._move(row, UNCOLLECTIBLE, "UNCOLLECTIBLE", f"unpaid after {row.reminders} reminders")

    def void(self, reference: str, reason: str) -> InvoiceRow:
        """An invoice nobody sent money for becomes VOID: it keeps its number. What a wallet paid of it goes back. Raises InvoiceStateConflict, InvoiceHasMoney,
        InterimDeducted."""
        row = self.locked(reference)
        if row.status == VOID and not row.withdrawn:
            return row
        by_wallet = (PAID,) if not row.paid and not row.credited else ()
        self._require(row, "void", *UNPAID, *by_wallet)
        if row.paid > 0:
            raise InvoiceHasMoney(row.number, f"{unpadded(row.paid, 2)} of it is paid")
        if row.credited > 0:
            raise InvoiceHasMoney(row.number, "it has credit notes")
        if row.kind == THRESHOLD:
            require_not_deducted(self._session, row)
        row.void_reason, row.voided_at = reason, self._now()
        self._move(row, VOID, "VOIDED", reason)
        give_back(self._session, self._tenant_id, row.id)
        return row

    def _close_awaited(self, row: InvoiceRow) -> None:
        """The payment somebody notes is the one that was waited for."""
        for awaited in payments_of(self._session, row):
            if awaited.status == "PENDING" and awaited.provider == "MANUAL":
                awaited.status, awaited.failure_code = "FAILED", "NOTED_BY_HAND"

    def _require(self, row: InvoiceRow, verb: str, *needed: str) -> None:
        if row.status not in needed:
            raise InvoiceStateConflict(row.number, row.status, verb, " or ".join(needed))

    def _move(self, row: InvoiceRow, target: str, done: str, reason: str | None = None) -> None:
        changes = {"status": {"before": row.status, "after": target}}
        row.status, row.updated_at = target, self._now()
        self._audit.record(f"INVOICE_{done}", "invoice", row.number, changes, reason)
        self._session.flush()

    def _payment_row(self, row: InvoiceRow, payment: Payment, amount: Decimal) -> PaymentRow:
        return PaymentRow(
            tenant_id=self._tenant_id,
            id=f"pay_{token_hex(8)}",
            invoice_id=row.id,
            amount=amount,
            currency=row.currency,
            provider=payment.provider,
            status=payment.status,
            reference=payment.reference,
            failure_code=payment.failure_code,
            actor=self._actor.id if isinstance(self._actor, Actor) else self._actor,
            created_at=self._now(),
        )

    def _now(self) -> datetime:
        if self._at is None:
            self._at = self._session.scalar(select(func.now()))
        assert self._at is not None
        return self._at


def usage_ends_at(session: Session, row: InvoiceRow) -> datetime:
    """When all that the invoice bills has happened. Fees may be billed in advance, usage only once it is over."""
    if row.kind != PERIOD:
        return row.period_start
    line = InvoiceLineRow
    of_usage = line.tenant_id == row.tenant_id, line.invoice_id == row.id, line.line_type == "USAGE_FEE"
    ends = session.scalar(select(func.max(line.period_end)).where(*of_usage))
    return ends or min(row.period_end, month_bounds(row.month, "UTC").end)
