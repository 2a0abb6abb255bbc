"""Invoices no run makes. Put here: one-off invoices, and replacing a void one under a new number. Keep out: what runs bill, HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from domain.catalog.fields import FieldProblem, Fields
from domain.errors import Conflict
from domain.invoice_life import ONE_OFF, REISSUE, THRESHOLD, VOID
from domain.one_off_invoice import OneOffInvoice, read_one_off, taxes_of
from storage.repositories.billing_entities import BillingEntities
from storage.repositories.interim_bills import require_deducted
from storage.repositories.invoice_content import content_hash
from storage.repositories.invoice_states import InvoiceStates, as_dict, lines_of
from storage.repositories.invoices import next_number
from storage.repositories.taxes import write_taxes
from storage.repositories.wallet_billing import gave_units_back, pay, taken_by
from storage.services.known_customers import known_customer
from storage.services.sent import new_id
from storage.tables.customers import CustomerRow
from storage.tables.invoices import InvoiceLineRow, InvoiceRow
from storage.tables.tenants import BillingEntityRow
from storage.tenancy import Tx

_COPIED = ("month", "customer_id", "billing_entity", "currency", "period_start", "period_end", "lines", "subtotal", "discount",
           "tax", "total", "wallet_amount", "amount_due", "due_days")  # fmt: skip


class InterimIsNotReissued(Conflict):
    """A voided interim invoice is made anew by the next round, if the spend still calls for it."""

    code = "INTERIM_IS_NOT_REISSUED"

    def __init__(self, number: str) -> None:
        super().__init__(
            f"invoice {number} is an interim invoice; void it, and what has accrued is billed by the next one or the closing bill"
        )


class UnitsAreBack(Conflict):
    """The lines of a void invoice presume bonus units that are in the wallet again."""

    code = "UNITS_ARE_BACK"

    def __init__(self, number: str, month: str) -> None:
        super().__init__(
            f"invoice {number} was voided, and the bonus units its lines did not charge for are in the wallet again; bill {month} again "
            "instead of making the invoice anew"
        )


class InvoicesByHand:
    """One tenant's invoices beside those its runs make. All begin as drafts."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._states = InvoiceStates(tx.session, tx.tenant_id, tx.actor, at=tx.at)

    def one_off(self, sent: Mapping[str, Any]) -> InvoiceRow:
        """A draft of these lines. Raises FieldProblem, CustomerUnknown."""
        wanted = read_one_off(Fields(sent, ""))
        customer = known_customer(self._tx, wanted.customer)
        issuer = self._issuer(wanted, customer)
        currency = wanted.currency or customer.currency
        figures = taxes_of(wanted.lines, currency, issuer.rounding)
        subtotal = sum((amount for amount, _ in figures), Decimal(0))
        tax = sum((tax for _, tax in figures), Decimal(0))
        today = self._tx.at.astimezone(ZoneInfo(issuer.time_zone))
        midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
        row = self._row(
            issuer,
            kind=ONE_OFF,
            month=f"{today:%Y-%m}",
            customer_id=customer.id,
            currency=currency,
            period_start=midnight,
            period_end=midnight + timedelta(days=1),
            lines=len(wanted.lines),
            subtotal=subtotal,
            discount=Decimal(0),
            tax=tax,
            total=subtotal + tax,
            wallet_amount=Decimal(0),
            amount_due=subtotal + tax,
            due_days=wanted.due_days,
        )
        for place, (line, (amount, tax_of_line)) in enumerate(zip(wanted.lines, figures, strict=True), 1):
            self._tx.session.add(
                InvoiceLineRow(
                    **_empty_line(row, new_id("ln"), place),
                    description=line.description,
                    quantity=line.quantity,
                    billable=line.quantity,
                    currency=currency,
                    unrounded=line.unrounded,
                    amount=amount,
                    taxable=amount,
                    tax=tax_of_line,
                    **_tax_column(line.tax_percent, amount, tax_of_line),
                )
            )
        return self._written(row, "INVOICE_CREATED", None)

    def reissue(self, reference: str, reason: str) -> InvoiceRow:
        """Void an invoice and make a draft of the same lines under a new number, which says what it replaces. One that is void
        already is replaced once. What a wallet paid it pays again, unless it got that back before: then all is to be paid. Raises
        InvoiceNotFound, InvoiceStateConflict, InvoiceHasMoney, InterimIsNotReissued, InterimNotDeducted, UnitsAreBack."""
        old = self._states.locked(reference)
        query = select(InvoiceRow).where(InvoiceRow.tenant_id == old.tenant_id, InvoiceRow.replaces == old.id)
        made = self._tx.session.scalars(query).one_or_none()
        if made is not None:
            return made
        if old.kind == THRESHOLD:
            raise InterimIsNotReissued(old.number)
        by_wallet = taken_by(self._tx.session, [(old.tenant_id, old.id)]).get((old.tenant_id, old.id), {})
        if old.status != VOID or old.withdrawn:
            self._states.void(old.id, reason)
        elif gave_units_back(self._tx.session, old.tenant_id, old.id):
            raise UnitsAreBack(old.number, old.month)
        issuer = self._tx.session.get_one(BillingEntityRow, (self._tx.tenant_id, old.billing_entity))
        copied = {name: getattr(old, name) for name in _COPIED if name != "billing_entity"}
        if not by_wallet:
            copied |= {"wallet_amount": Decimal(0), "amount_due": old.total}
        kind = ONE_OFF if old.kind == ONE_OFF else REISSUE
        row = self._row(issuer, kind=kind, replaces=old.id, **copied)
        for line in lines_of(self._tx.session, old):
            self._tx.session.add(InvoiceLineRow(**{**line, "invoice_id": row.id}))
        self._written(row, "INVOICE_REISSUED", reason)
        if kind == REISSUE:
            require_deducted(self._tx.session, row)
        pay(self._tx.session, {(row.tenant_id, row.id): by_wallet})
        return row

    def _issuer(self, wanted: OneOffInvoice, customer: CustomerRow) -> BillingEntityRow:
        entity = wanted.billing_entity or customer.billing_entity_id
        if entity is None:
            default = BillingEntities(self._tx.session, self._tx.tenant_id).default()
            entity = "" if default is None else default.id
        found = self._tx.session.get(BillingEntityRow, (self._tx.tenant_id, entity))
        if found is None or found.archived_at is not None:
            raise FieldProblem("billingEntityId", f"{entity!r} is no billing entity; make one first")
        return found

    def _row(self, issuer: BillingEntityRow, **fields: Any) -> InvoiceRow:
        year = int(fields["month"][:4])
        row = InvoiceRow(
            tenant_id=self._tx.tenant_id,
            id=new_id("inv"),
            number=next_number(self._tx.session, self._tx.tenant_id, issuer.id, year),
            billing_entity=issuer.id,
            content_hash="",
            status="DRAFT",
            withdrawn=False,
            created_at=self._tx.at,
            updated_at=self._tx.at,
            **fields,
        )
        self._tx.session.add(row)
        self._tx.session.flush()
        return row

    def _written(self, row: InvoiceRow, action: str, reason: str | None) -> InvoiceRow:
        self._tx.session.flush()
        write_taxes(self._tx.session, row)
        row.content_hash = content_hash(
            {**as_dict(row), "invoice_id": row.id}, lines_of(self._tx.session, row)
        )
        self._tx.session.flush()
        self._tx.record(
            action, "invoice", row.number, {"total": {"before": None, "after": str(row.total)}}, reason
        )
        return row


def _empty_line(row: InvoiceRow, line_id: str, place: int) -> dict[str, Any]:
    nothing = Decimal(0)
    return {
        "tenant_id": row.tenant_id,
        "invoice_id": row.id,
        "line_id": line_id,
        "line_order": place,
        "line_type": "CHARGE",
        "events": 0,
        "commit_adjustment": nothing,
        "discount": nothing,
    }


def _tax_column(percent: Decimal | None, taxable: Decimal, tax: Decimal) -> dict[str, Any]:
    """How the line is taxed, where lines keep that."""
    if percent is None or "taxes" not in InvoiceLineRow.__table__.columns:
        return {}
    only = {
        "rate_id": None,
        "name": "Tax",
        "jurisdiction": None,
        "category": None,
        "treatment": "STANDARD",
        "tax_id": None,
    }
    figures = {"rate": str(percent / 100), "inclusive": False, "taxable": str(taxable), "tax": str(tax)}
    return {"taxes": [only | figures], "tax_included": Decimal(0)}
