"""Invoices and credit notes as documents. Put here: putting together what their readers see. Keep out: rendering, figures of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.catalog.details import Address
from domain.invoice_document import (
    CREDIT_NOTE,
    EXEMPT,
    INVOICE,
    NOT_SUBJECT,
    REVERSE_CHARGE,
    STANDARD_RATE,
    ZERO_RATE,
    DocumentLine,
    DocumentTier,
    InvoiceDocument,
    Party,
    TaxTotal,
)
from domain.invoice_life import DRAFT, due_date
from domain.money import round_money
from storage.repositories.invoice_appearance import appearance, due_days
from storage.repositories.invoice_states import lines_of
from storage.tables.invoices import InvoiceRow
from storage.tables.receivables import CreditNoteLineRow, CreditNoteRow

_CATEGORIES = {"EXEMPT": EXEMPT, "REVERSE_CHARGE": REVERSE_CHARGE, "NOT_REGISTERED": NOT_SUBJECT}
_ADDRESS = {"postalCode": "postal_code"}


def invoice_document(session: Session, row: InvoiceRow) -> InvoiceDocument:
    """The invoice as its customer sees it. An issued one shows seller and buyer as they were when it was issued."""
    about = row.appearance or appearance(session, row)
    found = lines_of(session, row)
    lines = tuple(_line(line, about) for line in found)
    names = {line["line_id"]: _tax_name(line) for line in found}
    draft = row.status == DRAFT
    issued = row.issued_on or _local(row.finalized_at or row.period_end, about)
    days = (row.due_days if row.due_days is not None else due_days(session, row)) if draft else row.due_days
    return InvoiceDocument(
        **_common(row.currency, about, lines, names),
        kind=INVOICE,
        number=row.number,
        status=row.status,
        issued_on=issued,
        subtotal=row.subtotal,
        discount=row.discount,
        tax=row.tax,
        total=row.total,
        wallet=row.wallet_amount,
        paid=row.paid,
        credited=row.credit_applied,
        left=row.left,
        due_on=due_date(issued, days) if draft and days is not None else row.due_date,
        due_days=days,
        first_day=_local(row.period_start, about),
        last_day=_last_day(row.period_start, row.period_end, about),
        refers_to=_number_of(session, row.tenant_id, row.replaces),
        note=about.get("note"),
        content_hash=row.content_hash,
    )


def credit_note_document(session: Session, note: CreditNoteRow) -> InvoiceDocument:
    """The credit note as its customer sees it, with the sides as they are called on its invoice."""
    row = session.get_one(InvoiceRow, (note.tenant_id, note.invoice_id))
    about = row.appearance or appearance(session, row)
    billed = {line["line_id"]: line for line in lines_of(session, row)}
    share = CreditNoteLineRow
    query = select(share).where(share.tenant_id == note.tenant_id, share.credit_note_id == note.id)
    taken = {found.line_id: found for found in session.scalars(query)}
    lines = tuple(
        _credited(line, taken[line_id], about) for line_id, line in billed.items() if line_id in taken
    )
    names = {line_id: _tax_name(line) for line_id, line in billed.items()}
    reason = note.description or note.reason.replace("_", " ").capitalize()
    return InvoiceDocument(
        **_common(note.currency, about, lines, names),
        kind=CREDIT_NOTE,
        number=note.number or note.id,
        status=note.status,
        issued_on=note.issued_on or _local(note.created_at, about),
        subtotal=note.subtotal,
        discount=note.discount,
        tax=note.tax,
        total=note.total,
        first_day=_local(row.period_start, about),
        last_day=_last_day(row.period_start, row.period_end, about),
        refers_to=row.number,
        refers_to_date=row.issued_on,
        reason=reason,
    )


def _common(
    currency: str, about: Mapping[str, Any], lines: tuple[DocumentLine, ...], names: Mapping[str, str]
) -> dict[str, Any]:
    seller, buyer = about["seller"], about["buyer"]
    branding = seller.get("branding") or {}
    tax_status = buyer.get("taxStatus") or {}
    known_as = seller.get("displayName")
    titles = {name: f"{title} · {name}" for name, title in about["subscriptions"].items()}
    return {
        "currency": currency,
        "seller": Party(
            seller.get("legalName") or known_as or seller["code"],
            known_as,
            _address(seller.get("address")),
            seller.get("taxRegistration"),
        ),
        "buyer": Party(
            buyer.get("name") or buyer["id"],
            None,
            _address(buyer.get("address")),
            tax_status.get("taxId") if isinstance(tax_status, dict) else None,
            buyer.get("email"),
            buyer["id"],
        ),
        "lines": lines,
        "taxes": _taxes(lines, names),
        "footer": branding.get("footer"),
        "color": branding.get("primaryColor"),
        "group_titles": {**titles, "": "Charges"},
    }


def _line(line: Mapping[str, Any], about: Mapping[str, Any]) -> DocumentLine:
    category, rate = _tax_of(line)
    charge = line["taxable"] + line["discount"]  # without taxes the price contains
    tax_inside = charge != line["amount"] + line["commit_adjustment"]
    tiers = tuple(
        DocumentTier(
            None if tier["up_to"] is None else Decimal(tier["up_to"]),
            *(Decimal(tier[name] or 0) for name in ("quantity", "unit_price", "flat_fee", "amount")),
        )
        for tier in line["tiers"] or []
        if Decimal(tier["quantity"] or 0) or Decimal(tier["amount"] or 0)
    )
    quantity = line["quantity"]
    fee = quantity is None and line["line_type"] in ("CHARGE", "SETUP_FEE")
    one_price = tiers[0].unit_price if len(tiers) == 1 and not tiers[0].flat_fee else None
    share = tiers[0] if tiers and line["model"] == "PERCENTAGE" else None
    if line["fx_rate"] is not None:  # Prices are in another currency than the invoice.
        tiers, one_price = (), None
    return DocumentLine(
        line_id=line["line_id"],
        group=line["subscription_id"] or "",
        description=line["description"],
        amount=charge,
        discount=line["discount"],
        taxable=line["taxable"],
        tax=line["tax"],
        tax_category=category,
        tax_rate=rate,
        first_day=_local(line["period_start"], about),
        last_day=_last_day(line["period_start"], line["period_end"], about),
        quantity=Decimal(1) if fee else quantity,
        included=line["included"],
        unit=about["units"].get(line["unit"]),
        unit_price=None if tax_inside else line["amount"] if fee else one_price or _price(line),
        adjustment=line["commit_adjustment"],
        percent=share and (share.unit_price * 100).normalize(),
        base=share and share.quantity,
        tiers=tiers if len(tiers) > 1 or (tiers and tiers[0].flat_fee) else (),
    )


def _price(line: Mapping[str, Any]) -> Decimal | None:
    """The one price that explains the charge, where there is one. Overage may be priced in blocks, which no price per unit says."""
    if (
        line["fx_rate"] is not None
        or line["tiers"]
        or not line["billable"]
        or line["model"] not in ("PER_UNIT", None)
    ):
        return None
    price = (line["unrounded"] / line["billable"]).normalize()
    return (
        price if price * line["billable"] == line["unrounded"] and -price.as_tuple().exponent <= 12 else None
    )


def _credited(line: Mapping[str, Any], share: CreditNoteLineRow, about: Mapping[str, Any]) -> DocumentLine:
    category, rate = _tax_of(line)
    return DocumentLine(
        line_id=line["line_id"],
        group=line["subscription_id"] or "",
        description=line["description"],
        amount=share.amount,
        discount=share.discount,
        taxable=share.taxable,
        tax=share.tax,
        tax_category=category,
        tax_rate=rate,
        first_day=_local(line["period_start"], about),
        last_day=_last_day(line["period_start"], line["period_end"], about),
    )


def _tax_of(line: Mapping[str, Any]) -> tuple[str, Decimal]:
    """Category and rate in percent. Several taxes of one line, such as of state and city, are shown as one."""
    taxes = line.get("taxes") or []
    rates = [Decimal(tax["rate"]) for tax in taxes if tax.get("rate") is not None]
    if rates:
        rate = sum(rates, Decimal(0)) * 100
        return (STANDARD_RATE if rate else ZERO_RATE), rate
    if line["tax"] and not taxes:
        return STANDARD_RATE, round_money(line["tax"] * 100 / line["taxable"], 2)
    treatments = [tax.get("treatment") for tax in taxes]
    return _CATEGORIES.get(str(treatments[0]) if treatments else "", NOT_SUBJECT), Decimal(0)


def _tax_name(line: Mapping[str, Any]) -> str:
    names = [tax["name"] for tax in line.get("taxes") or [] if tax.get("name")]
    return " + ".join(dict.fromkeys(names)) or "Tax"


def _taxes(lines: tuple[DocumentLine, ...], names: Mapping[str, str]) -> tuple[TaxTotal, ...]:
    sums: dict[tuple[str, Decimal], list[Any]] = {}
    for line in lines:
        found = sums.setdefault(
            (line.tax_category, line.tax_rate), [Decimal(0), Decimal(0), names[line.line_id]]
        )
        found[0] += line.taxable
        found[1] += line.tax
    return tuple(
        TaxTotal(category, rate, base, tax, name)
        for (category, rate), (base, tax, name) in sorted(sums.items())
    )


def _address(written: Mapping[str, Any] | None) -> Address | None:
    if not written:
        return None
    return Address(**{_ADDRESS.get(name, name): value for name, value in written.items()})


def _local(instant: datetime | None, about: Mapping[str, Any]) -> Any:
    return None if instant is None else instant.astimezone(ZoneInfo(about.get("timeZone") or "UTC")).date()


def _last_day(start: datetime | None, end: datetime | None, about: Mapping[str, Any]) -> date | None:
    """The last day of [start, end): an end at midnight is the day before's."""
    if start is None or end is None:
        return None
    last: date = _local(max(start, end - timedelta(microseconds=1)), about)
    return last


def _number_of(session: Session, tenant_id: str, invoice_id: str | None) -> str | None:
    found = None if invoice_id is None else session.get(InvoiceRow, (tenant_id, invoice_id))
    return None if found is None else found.number
