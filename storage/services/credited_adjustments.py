"""Credits of closed months that no invoice has room for. Put here: giving them back as credit notes. Keep out: making adjustments
(corrections.py), billing them (repositories.adjustments), the notes themselves (credit_notes.py).

A credit goes onto the next invoice first. What that one has no room for is carried on, or, where the tenant's settings say so
(`corrections.credits: CREDIT_NOTE`), given back by a credit note on the invoice that billed it, with the tax that was on it.
"""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.credit_note import gross_of
from domain.errors import Conflict, NotFound
from domain.invoice_life import DRAFT, NOT_BY_A_RUN, VOID
from domain.money import currency_exponent, unpadded
from domain.organization import CREDIT_NOTE
from storage.repositories.adjustments import carried, restate
from storage.repositories.invoice_states import InvoiceStates
from storage.services.credit_notes import CreditNotes
from storage.tables.corrections import AdjustmentBillRow, AdjustmentRow
from storage.tables.invoices import InvoiceLineRow, InvoiceRow
from storage.tables.receivables import CreditNoteRow
from storage.tables.tenants import BillingEntityRow, OrganizationSettingsRow
from storage.tenancy import Tx


class AdjustmentNotFound(NotFound):
    """No such adjustment in this tenant; another tenant's looks the same."""

    code = "ADJUSTMENT_NOT_FOUND"

    def __init__(self, adjustment_id: str) -> None:
        super().__init__(
            f"adjustment {adjustment_id!r} does not exist; GET /api/v1/replays/{{id}} lists them"
        )


class NothingToCredit(Conflict):
    """The adjustment owes the customer nothing, or no longer, or what it corrects is credited already."""

    code = "NOTHING_TO_CREDIT"

    def __init__(self, adjustment_id: str, why: str) -> None:
        super().__init__(f"adjustment {adjustment_id} cannot become a credit note: {why}")


def credits_due(tx: Tx) -> list[str]:
    """Adjustments that issued invoices had no room for; none unless the tenant's settings ask for credit notes."""
    settings = tx.session.get(OrganizationSettingsRow, tx.tenant_id)
    agreed = {} if settings is None else settings.settings.get("corrections") or {}
    return CreditedAdjustments(tx).waiting() if agreed.get("credits") == CREDIT_NOTE else []


class CreditedAdjustments:
    """One tenant's adjustments in the customer's favour, as credit notes."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def waiting(self) -> list[str]:
        """Those with something left after the customer's next invoice was issued."""
        row, later = AdjustmentRow, InvoiceRow
        had_its_chance = (
            select(later.id)
            .where(
                later.tenant_id == row.tenant_id,
                later.customer_id == row.customer_id,
                later.currency == row.currency,
                later.month > row.month,
                later.kind.not_in(NOT_BY_A_RUN),
                later.status.not_in((DRAFT, VOID)),
                later.finalized_at >= row.created_at,
            )
            .exists()
        )
        query = select(row.id).where(
            row.tenant_id == self._tx.tenant_id, row.status == "PENDING", row.amount < 0, had_its_chance
        )
        return list(self._tx.session.scalars(query.order_by(row.created_at, row.id)))

    def credit(self, adjustment_id: str) -> CreditNoteRow:
        """A credit note, issued and applied, of what no invoice carries of the adjustment, at most what is left of the line it
        corrects. Raises AdjustmentNotFound, NothingToCredit."""
        key = (self._tx.tenant_id, adjustment_id)
        found = self._tx.session.get(AdjustmentRow, key)
        if found is None:
            raise AdjustmentNotFound(adjustment_id)
        if found.invoice_id is None:
            raise NothingToCredit(adjustment_id, "no invoice billed what it corrects")
        # The invoice first, as everywhere: whoever credits by hand waits, too.
        invoice = InvoiceStates(self._tx.session, self._tx.tenant_id, self._tx.actor, at=self._tx.at).locked(
            found.invoice_id
        )
        row = self._tx.session.get_one(AdjustmentRow, key, with_for_update=True, populate_existing=True)
        open_now = -(row.amount - carried(self._tx.session, row))
        if open_now <= 0:
            raise NothingToCredit(adjustment_id, "invoices carry all of it")
        gross, net = self._possible(row, invoice, open_now)
        if gross <= 0:
            raise NothingToCredit(adjustment_id, f"nothing is left to credit on invoice {invoice.number}")
        notes = CreditNotes(self._tx)
        about = {
            "invoiceId": invoice.id,
            "reason": "BILLING_ERROR",
            "description": row.description,
            "lines": [{"lineId": row.line_id, "amount": gross}],
        }
        note = notes.create(about)
        self._carry(row, invoice, -net)
        notes.issue(note.id)
        return notes.apply(note.id)

    def _possible(self, row: AdjustmentRow, invoice: InvoiceRow, wanted: Decimal) -> tuple[Decimal, Decimal]:
        """With and before tax: what of the wanted can be credited on the line it corrects."""
        if invoice.status in (DRAFT, VOID):
            raise NothingToCredit(row.id, f"invoice {invoice.number} is {invoice.status}")
        line = self._tx.session.get(InvoiceLineRow, (row.tenant_id, invoice.id, row.line_id))
        if line is None:
            raise NothingToCredit(row.id, f"invoice {invoice.number} does not have its line")
        of_line = next(
            each for each in CreditNotes(self._tx).creditable(invoice) if each.line_id == row.line_id
        )
        issuer = self._tx.session.get_one(BillingEntityRow, (self._tx.tenant_id, invoice.billing_entity))
        return gross_of(
            wanted,
            line.taxable + (line.tax_included or 0),
            of_line.total,
            min(of_line.left, invoice.total - invoice.credited),
            currency_exponent(invoice.currency),
            issuer.rounding,
        )

    def _carry(self, row: AdjustmentRow, invoice: InvoiceRow, amount: Decimal) -> None:
        """Note that the invoice it corrects has given it back."""
        key = (row.tenant_id, row.id, invoice.id)
        bill = self._tx.session.get(AdjustmentBillRow, key)
        if bill is None:
            bill = AdjustmentBillRow(
                tenant_id=row.tenant_id,
                adjustment_id=row.id,
                invoice_id=invoice.id,
                month=row.month,
                amount=0,
            )
            self._tx.session.add(bill)
        bill.amount += amount
        self._tx.session.flush()
        restate(self._tx.session, [row])
        changes = {"credited": {"before": None, "after": str(unpadded(-amount, 2))}}
        self._tx.record("ADJUSTMENT_CREDITED", "adjustment", row.id, changes, row.reason)
        self._tx.session.flush()


def owner_of_adjustment(session: Session, adjustment_id: str, tenant_id: str | None = None) -> str:
    """The tenant of an adjustment: for the operator of the installation only. Raises AdjustmentNotFound."""
    query = select(AdjustmentRow.tenant_id).where(AdjustmentRow.id == adjustment_id)
    if tenant_id is not None:
        query = query.where(AdjustmentRow.tenant_id == tenant_id)
    owner = session.scalars(query.order_by(AdjustmentRow.tenant_id).limit(1)).one_or_none()
    if owner is None:
        raise AdjustmentNotFound(adjustment_id)
    return owner
