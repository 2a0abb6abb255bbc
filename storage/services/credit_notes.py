"""Credit notes. Put here: making, issuing, applying and voiding them. Keep out: how an amount is shared out (domain.credit_note), HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from domain.catalog.fields import Fields
from domain.credit_note import Creditable, CreditRequest, Share, read_credit_request, shares
from domain.errors import Conflict, NotFound, PermanentFailure
from domain.invoice_life import PAID, UNPAID
from domain.invoice_number import invoice_number
from domain.money import currency_exponent, unpadded
from storage.repositories.invoice_states import InvoiceStateConflict, InvoiceStates, lines_of, locate
from storage.repositories.paging import PageQuery, keyset
from storage.services.sent import new_id
from storage.tables.invoices import InvoiceRow
from storage.tables.receivables import CreditNoteLineRow, CreditNoteRow, CreditNoteSequenceRow
from storage.tables.tenants import BillingEntityRow
from storage.tenancy import Tx


class CreditNoteNotFound(NotFound):
    code = "CREDIT_NOTE_NOT_FOUND"

    def __init__(self, reference: str) -> None:
        super().__init__(f"credit note {reference!r} does not exist")


class AmbiguousCreditNote(PermanentFailure):
    """Several tenants have a credit note of this number."""

    code = "AMBIGUOUS_CREDIT_NOTE"
    exit_code = 2

    def __init__(self, reference: str, tenants: Sequence[str]) -> None:
        named = ", ".join(tenants)
        super().__init__(f"credit note {reference!r} exists in tenants {named}; say which with --tenant")


class CreditNoteStateConflict(Conflict):
    code = "CREDIT_NOTE_STATE_CONFLICT"

    def __init__(self, reference: str, status: str, verb: str, needed: str) -> None:
        super().__init__(
            f"credit note {reference}: cannot {verb} it, its status is {status}; only {needed} ones can be"
        )


class CreditNotes:
    """One tenant's credit notes: DRAFT, ISSUED with a number, APPLIED to its invoice. A draft already counts towards what may be
    credited, so whatever was made can be issued."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._states = InvoiceStates(tx.session, tx.tenant_id, tx.actor, at=tx.at)

    def get(self, reference: str) -> CreditNoteRow:
        """By id or number. Raises CreditNoteNotFound."""
        row = CreditNoteRow
        named = (row.id == reference) | (row.number == reference)
        found = self._tx.session.scalars(
            select(row).where(row.tenant_id == self._tx.tenant_id, named)
        ).one_or_none()
        if found is None:
            raise CreditNoteNotFound(reference)
        return found

    def page(
        self, page: PageQuery, *, invoice: str | None = None, status: str | None = None
    ) -> tuple[list[CreditNoteRow], int, str | None]:
        """A page, the oldest first. See `keyset`."""
        row = CreditNoteRow
        query = select(row).where(row.tenant_id == self._tx.tenant_id)
        if invoice is not None:
            query = query.where(row.invoice_id == self._states.get(invoice).id)
        if status is not None:
            query = query.where(row.status == status)
        return keyset(self._tx.session, query, {"createdAt": row.created_at, "id": row.id}, page)

    def lines(self, row: CreditNoteRow) -> list[CreditNoteLineRow]:
        line = CreditNoteLineRow
        query = select(line).where(line.tenant_id == row.tenant_id, line.credit_note_id == row.id)
        return list(self._tx.session.scalars(query.order_by(line.line_id)))

    def create(self, sent: Mapping[str, Any]) -> CreditNoteRow:
        """A draft on an issued invoice, tax and discount shares worked out. Raises FieldProblem, InvoiceNotFound,
        InvoiceStateConflict, MoreThanIsCreditable."""
        request = read_credit_request(Fields(sent, ""))
        invoice = self._states.locked(request.invoice)
        if invoice.status not in (*UNPAID, PAID):
            raise InvoiceStateConflict(invoice.number, invoice.status, "credit", "issued")
        issuer = self._tx.session.get_one(BillingEntityRow, (self._tx.tenant_id, invoice.billing_entity))
        exponent = currency_exponent(invoice.currency)
        left = invoice.total - invoice.credited
        taken = shares(self.creditable(invoice), request, left, exponent, issuer.rounding)
        row = self._add(invoice, request, taken)
        invoice.credited += row.total
        self._tx.session.flush()
        changes = {"total": {"before": None, "after": str(unpadded(row.total, exponent))}}
        self._tx.record("CREDIT_NOTE_CREATED", "credit_note", row.id, changes, request.reason)
        return row

    def issue(self, reference: str) -> CreditNoteRow:
        """DRAFT to ISSUED: numbered, never edited again. Raises CreditNoteNotFound, CreditNoteStateConflict."""
        row, invoice = self._locked(reference)
        if row.status in ("ISSUED", "APPLIED"):
            return row
        self._require(row, "issue", "DRAFT")
        issuer = self._tx.session.get_one(BillingEntityRow, (self._tx.tenant_id, invoice.billing_entity))
        row.issued_on = self._tx.at.astimezone(ZoneInfo(issuer.time_zone)).date()
        row.issued_at = self._tx.at
        row.number = self._next_number(issuer, row.issued_on.year)
        self._move(row, "ISSUED")
        return row

    def apply(self, reference: str) -> CreditNoteRow:
        """ISSUED to APPLIED: takes off what is still to be paid, at most all of it; an invoice with nothing left is PAID. What it
        could not take off is owed to the customer (total − applied). Raises CreditNoteNotFound, CreditNoteStateConflict."""
        row, invoice = self._locked(reference)
        if row.status == "APPLIED":
            return row
        self._require(row, "apply", "ISSUED")
        row.applied = min(row.total, max(invoice.left, Decimal(0)))
        row.applied_at = self._tx.at
        invoice.credit_applied += row.applied
        self._move(row, "APPLIED")
        self._states.settle_if_nothing_is_left(invoice)
        return row

    def void(self, reference: str) -> CreditNoteRow:
        """DRAFT to VOID: what it would have taken off may be credited again. Raises CreditNoteNotFound, CreditNoteStateConflict."""
        row, invoice = self._locked(reference)
        if row.status == "VOID":
            return row
        self._require(row, "void", "DRAFT")
        invoice.credited -= row.total
        row.voided_at = self._tx.at
        self._move(row, "VOID")
        return row

    def creditable(self, invoice: InvoiceRow) -> list[Creditable]:
        """The invoice's lines and what was credited of each, drafts included."""
        note, line = CreditNoteRow, CreditNoteLineRow
        sums = (func.sum(line.total), func.sum(line.discount), func.sum(line.tax))
        query = (
            select(line.line_id, *sums)
            .join(note, (note.tenant_id == line.tenant_id) & (note.id == line.credit_note_id))
            .where(note.tenant_id == invoice.tenant_id, note.invoice_id == invoice.id, note.status != "VOID")
            .group_by(line.line_id)
        )
        before = {line_id: rest for line_id, *rest in self._tx.session.execute(query)}
        return [
            Creditable(
                each["line_id"],
                each["taxable"] + each["discount"],
                each["discount"],
                each["tax"],
                *before.get(each["line_id"], ()),
            )
            for each in lines_of(self._tx.session, invoice)
        ]

    def _add(self, invoice: InvoiceRow, request: CreditRequest, taken: list[Share]) -> CreditNoteRow:
        tax = sum((share.tax for share in taken), Decimal(0))
        discount = sum((share.discount for share in taken), Decimal(0))
        subtotal = sum((share.charge for share in taken), Decimal(0))
        row = CreditNoteRow(
            tenant_id=self._tx.tenant_id,
            id=new_id("cn"),
            invoice_id=invoice.id,
            customer_id=invoice.customer_id,
            currency=invoice.currency,
            status="DRAFT",
            reason=request.reason,
            description=request.description,
            subtotal=subtotal,
            discount=discount,
            tax=tax,
            total=subtotal - discount + tax,
            created_at=self._tx.at,
            updated_at=self._tx.at,
        )
        self._tx.session.add(row)
        self._tx.session.flush()
        for share in taken:
            self._tx.session.add(
                CreditNoteLineRow(
                    tenant_id=row.tenant_id,
                    credit_note_id=row.id,
                    line_id=share.line_id,
                    amount=share.charge,
                    discount=share.discount,
                    taxable=share.charge - share.discount,
                    tax=share.tax,
                    total=share.total,
                )
            )
        return row

    def _locked(self, reference: str) -> tuple[CreditNoteRow, InvoiceRow]:
        """The note and its invoice, the invoice locked first: whoever changes either waits for it."""
        found = self.get(reference)
        invoice = self._states.locked(found.invoice_id)
        self._tx.session.refresh(found, with_for_update=True)
        return found, invoice

    def _next_number(self, issuer: BillingEntityRow, year: int) -> str:
        key = {"tenant_id": self._tx.tenant_id, "billing_entity": issuer.id, "year": year}
        new = upsert(CreditNoteSequenceRow).values(**key, last_number=0).on_conflict_do_nothing()
        self._tx.session.execute(new)
        row = self._tx.session.get_one(
            CreditNoteSequenceRow, tuple(key.values()), with_for_update=True, populate_existing=True
        )
        row.last_number += 1
        return invoice_number(issuer.number_format, f"{issuer.invoice_prefix}-CN", year, row.last_number)

    def _require(self, row: CreditNoteRow, verb: str, needed: str) -> None:
        if row.status != needed:
            raise CreditNoteStateConflict(row.number or row.id, row.status, verb, needed)

    def _move(self, row: CreditNoteRow, status: str) -> None:
        changes = {"status": {"before": row.status, "after": status}}
        row.status, row.updated_at = status, self._tx.at
        row.revision += 1
        self._tx.session.flush()
        self._tx.record(f"CREDIT_NOTE_{status}", "credit_note", row.number or row.id, changes)


def locate_credit_note(session: Session, reference: str, tenant_id: str | None = None) -> tuple[str, str]:
    """(tenant, id) of a credit note by number or id, of one tenant or (for the operator) of any. Raises CreditNoteNotFound,
    AmbiguousCreditNote."""
    row = CreditNoteRow
    query = select(row.tenant_id, row.id).where((row.id == reference) | (row.number == reference))
    if tenant_id is not None:
        query = query.where(row.tenant_id == tenant_id)
    found = session.execute(query.order_by(row.tenant_id)).tuples().all()
    if not found:
        raise CreditNoteNotFound(reference)
    if len(found) > 1:
        raise AmbiguousCreditNote(reference, [owner for owner, _ in found])
    return found[0]


def find_credit_notes(
    session: Session, *, tenant: str | None = None, invoice: str | None = None, status: str | None = None
) -> list[CreditNoteRow]:
    """Credit notes, the oldest first. invoice: by number or id. Without a tenant it sees all: for the operator of the installation
    only. Raises InvoiceNotFound, AmbiguousInvoice."""
    row = CreditNoteRow
    query = select(row).order_by(row.created_at, row.id)
    if invoice is not None:
        found = locate(session, invoice, tenant)
        query = query.where(row.tenant_id == found.tenant_id, row.invoice_id == found.id)
    if tenant is not None:
        query = query.where(row.tenant_id == tenant)
    if status is not None:
        query = query.where(row.status == status)
    return list(session.scalars(query))
