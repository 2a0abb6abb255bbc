"""Finding invoices and moving them on. Put here: lists, look-ups, lines, finalize, pay, void. Keep out: writing bills (invoices.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from domain.actor import Actor
from domain.errors import Conflict, NotFound, PermanentFailure
from storage.repositories.audit import Audit
from storage.repositories.paging import PageQuery, keyset
from storage.repositories.wallet_billing import give_back
from storage.tables.invoices import InvoiceLineRow, InvoiceRow

STATUSES = ("DRAFT", "OPEN", "PAID", "VOID")


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


def as_dict(row: InvoiceRow | InvoiceLineRow) -> dict[str, Any]:
    """A row's columns by name."""
    return {column.name: getattr(row, column.key) for column in row.__table__.columns}


class InvoiceStates:
    """One tenant's invoices and their way from DRAFT to OPEN to PAID or VOID. Repeating a step changes nothing."""

    def __init__(self, session: Session, tenant_id: str, actor: str | Actor = "operator") -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._audit = Audit(session, tenant_id, actor)

    def get(self, reference: str) -> InvoiceRow:
        """By number or id. Raises InvoiceNotFound."""
        return locate(self._session, reference, self._tenant_id)

    def finalize(self, reference: str) -> InvoiceRow:
        """DRAFT to OPEN: issued, never edited again."""
        return self._move(reference, "finalize", "DRAFT", "OPEN", "finalized_at")

    def pay(self, reference: str) -> InvoiceRow:
        """OPEN to PAID."""
        return self._move(reference, "pay", "OPEN", "PAID", "paid_at")

    def void(self, reference: str, reason: str) -> InvoiceRow:
        """OPEN to VOID: it keeps its number. What a wallet paid of it goes back."""
        row = self._move(reference, "void", "OPEN", "VOID", "voided_at", reason)
        give_back(self._session, self._tenant_id, row.id)
        return row

    def _move(
        self, reference: str, verb: str, needed: str, target: str, stamp: str, reason: str | None = None
    ) -> InvoiceRow:
        row_id = self.get(reference).id
        locked = select(InvoiceRow).where(InvoiceRow.tenant_id == self._tenant_id, InvoiceRow.id == row_id)
        row = self._session.scalars(
            locked.with_for_update(), execution_options={"populate_existing": True}
        ).one()
        if row.status == target and not row.withdrawn:
            return row
        if row.status != needed:
            raise InvoiceStateConflict(row.number, row.status, verb, needed)
        now: Any = self._session.scalar(select(func.now()))
        row.status = target
        row.updated_at = now
        setattr(row, stamp, now)
        if reason is not None:
            row.void_reason = reason
        changes = {"status": {"before": needed, "after": target}}
        self._audit.record(f"INVOICE_{_DONE[verb]}", "invoice", row.number, changes, reason)
        self._session.flush()
        return row


_DONE = {"finalize": "FINALIZED", "pay": "PAID", "void": "VOIDED"}
