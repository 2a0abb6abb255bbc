"""A document in words: every figure and date as text. Put here: number and date formats, labels. Keep out: layout (invoice.typ), sums."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any

from babel.core import Locale
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal, get_currency_name, get_currency_symbol

from domain.catalog.details import Address
from domain.invoice_document import (
    CREDIT_NOTE,
    EXEMPT,
    NOT_SUBJECT,
    REVERSE_CHARGE,
    DocumentLine,
    DocumentTier,
    InvoiceDocument,
    Party,
    TaxTotal,
)
from domain.money import currency_exponent

LOCALE = Locale("en")
ACCENT = "#1F3A5F"
"""The color of issuers without one of their own."""
_STAMPS = {"DRAFT": "Draft", "VOID": "Void", "PAID": "Paid", "UNCOLLECTIBLE": "Uncollectible"}


def words(document: InvoiceDocument) -> dict[str, Any]:
    """The document as the template takes it: texts and lists of them only."""
    credit = document.kind == CREDIT_NOTE
    return {
        "title": "Credit note" if credit else "Invoice",
        "number": document.number,
        "stamp": _STAMPS.get(document.status),
        "color": document.color or ACCENT,
        "date": _iso(document.issued_on),
        "facts": _facts(document),
        "headline": _headline(document),
        "seller": _party(document.seller),
        "buyer": _party(document.buyer),
        "buyer_title": "Credited to" if credit else "Billed to",
        "groups": list(_groups(document)),
        "taxed": any(line.tax_category != NOT_SUBJECT for line in document.lines),
        "totals": _totals(document),
        "final": _final(document),
        "remarks": _remarks(document),
        "footer": document.footer,
        "imprint": _imprint(document.seller),
        "proof": document.content_hash,
    }


def money(amount: Decimal, currency: str) -> str:
    """1234.5 USD is $1,234.50; a currency has as many decimal places as ISO 4217 says."""
    exponent = currency_exponent(currency)
    return _amount(amount.quantize(Decimal(1).scaleb(-exponent)), currency, exponent)


def price(amount: Decimal, currency: str) -> str:
    """A unit price with all its digits, at least those the currency has."""
    return _amount(amount, currency, max(currency_exponent(currency), _places(amount)))


def _amount(amount: Decimal, currency: str, digits: int) -> str:
    gap = "\xa0" if get_currency_symbol(currency, locale=LOCALE)[-1].isalpha() else ""
    pattern = f"¤{gap}#,##0{_zeros(digits)}"
    return _minus(format_currency(amount, currency, format=pattern, locale=LOCALE, currency_digits=False))


def number(quantity: Decimal) -> str:
    """A quantity with all its digits."""
    return _minus(format_decimal(quantity, format=f"#,##0{_zeros(_places(quantity))}", locale=LOCALE))


def day(when: date) -> str:
    return format_date(when, format="d MMM y", locale=LOCALE)


def _places(amount: Decimal) -> int:
    return len(format(amount, "f").partition(".")[2].rstrip("0"))


def _zeros(digits: int) -> str:
    return "." + "0" * digits if digits else ""


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _iso(when: date) -> list[int]:
    return [when.year, when.month, when.day]


def _facts(document: InvoiceDocument) -> list[list[str]]:
    """The pairs beside the title."""
    found = [["Number", document.number], ["Date", day(document.issued_on)]]
    if document.first_day and document.last_day:
        found.append(["Period", f"{day(document.first_day)} – {day(document.last_day)}"])
    if document.due_on and document.kind != CREDIT_NOTE:
        found.append(["Due", day(document.due_on)])
    if document.refers_to:
        found.append(["Refers to" if document.kind == CREDIT_NOTE else "Replaces", document.refers_to])
    found.append(["Currency", f"{document.currency} · {get_currency_name(document.currency, locale=LOCALE)}"])
    return found


def _headline(document: InvoiceDocument) -> list[str]:
    """What matters most: the figure, and what it means."""
    if document.kind == CREDIT_NOTE:
        return [money(document.total, document.currency), f"credited on invoice {document.refers_to}"]
    if document.status == "VOID":
        return [money(document.total, document.currency), "this invoice is void; nothing is to be paid"]
    if document.left <= 0 and document.status != "DRAFT":
        return [money(document.total, document.currency), "settled in full; nothing is to be paid"]
    until = f"due by {day(document.due_on)}" if document.due_on else "amount due"
    return [money(document.left, document.currency), until]


def _party(party: Party) -> dict[str, Any]:
    lines = [party.name]
    if party.trading_name and party.trading_name != party.name:
        lines.append(party.trading_name)
    lines += _address(party.address)
    extra = [f"Tax ID {party.tax_id}"] if party.tax_id else []
    extra += [party.email] if party.email else []
    extra += [f"Customer {party.reference}"] if party.reference else []
    return {"name": party.trading_name or party.name, "lines": lines, "extra": extra}


def _address(address: Address | None) -> list[str]:
    if address is None:
        return []
    town = " ".join(part for part in (address.postal_code, address.city) if part)
    place = ", ".join(part for part in (town, address.region) if part)
    country = LOCALE.territories.get(address.country, address.country) if address.country else None
    return [part for part in (address.line1, address.line2, place, country) if part]


def _imprint(seller: Party) -> str:
    parts = [seller.name, *_address(seller.address)]
    return " · ".join([*parts, f"Tax ID {seller.tax_id}"] if seller.tax_id else parts)


def _groups(document: InvoiceDocument) -> Iterable[dict[str, Any]]:
    several = len({line.group for line in document.lines}) > 1
    for group, lines in groupby(document.lines, key=lambda line: line.group):
        found = list(lines)
        yield {
            "title": document.group_titles.get(group, group),
            "lines": [_line(line, document) for line in found],
            "sum": money(sum((line.amount for line in found), Decimal(0)), document.currency)
            if several
            else None,
        }


def _line(line: DocumentLine, document: InvoiceDocument) -> dict[str, Any]:
    code = document.currency
    return {
        "what": line.description,
        "details": " · ".join(_details(line, document)),
        "quantity": "" if line.quantity is None else number(line.quantity),
        "price": _unit_price(line, code),
        "tax": _rate(line.tax_category, line.tax_rate),
        "amount": money(line.amount, code),
        "tiers": [_tier(tier, lower, code) for lower, tier in _with_lower(line.tiers)],
    }


def _unit_price(line: DocumentLine, currency: str) -> str:
    if line.percent is not None:
        return f"{number(line.percent)} %"
    return "" if line.unit_price is None else price(line.unit_price, currency)


def _details(line: DocumentLine, document: InvoiceDocument) -> Iterable[str]:
    days = (line.first_day, line.last_day)
    if line.first_day and line.last_day and days != (document.first_day, document.last_day):
        yield f"{day(line.first_day)} – {day(line.last_day)}"
    if line.unit:
        yield f"per {line.unit}"
    if line.percent is not None and line.base is not None:
        yield f"{number(line.percent)} % of {number(line.base)}"
    if line.included:
        yield f"{number(line.included)} included free of charge"
        if line.quantity is not None and line.quantity > line.included:
            yield f"{number(line.quantity - line.included)} charged"
    if line.adjustment > 0:
        yield f"with {money(line.adjustment, document.currency)} up to the minimum agreed"
    if line.adjustment < 0:
        yield f"less {money(-line.adjustment, document.currency)} beyond the maximum agreed"
    if line.discount:
        yield f"discount {money(line.discount, document.currency)}"


def _with_lower(tiers: tuple[DocumentTier, ...]) -> Iterable[tuple[Decimal | None, DocumentTier]]:
    lower: Decimal | None = None
    for tier in tiers:
        yield lower, tier
        lower = tier.up_to


def _tier(tier: DocumentTier, lower: Decimal | None, currency: str) -> list[str]:
    if tier.up_to is None:
        band = "all units" if lower is None else f"beyond {number(lower)}"
    else:
        band = f"up to {number(tier.up_to)}" if lower is None else f"{number(lower)} – {number(tier.up_to)}"
    fee = f" + {price(tier.flat_fee, currency)}" if tier.flat_fee else ""
    return [band, number(tier.quantity), price(tier.unit_price, currency) + fee, price(tier.amount, currency)]


def _rate(category: str, rate: Decimal) -> str:
    if category == REVERSE_CHARGE:
        return "reverse"
    return "exempt" if category == EXEMPT else f"{number(rate)} %"


def _totals(document: InvoiceDocument) -> list[list[str]]:
    code = document.currency
    found = [["Subtotal", money(document.subtotal, code)]]
    if document.discount:
        found.append(["Discount", money(-document.discount, code)])
    found += [
        [_tax_label(tax, code), money(tax.tax, code)] for tax in document.taxes if tax.category != NOT_SUBJECT
    ]
    found.append(["Total", money(document.total, code)])
    for label, amount in (
        ("Paid from wallet", document.wallet),
        ("Credited", document.credited),
        ("Paid", document.paid),
    ):
        if amount:
            found.append([label, money(-amount, code)])
    return found


def _tax_label(tax: TaxTotal, currency: str) -> str:
    return f"{tax.name} {_rate(tax.category, tax.rate)} on {money(tax.base, currency)}"


def _final(document: InvoiceDocument) -> list[str]:
    if document.kind == CREDIT_NOTE:
        return ["Total credited", money(document.total, document.currency)]
    left = Decimal(0) if document.status == "VOID" else document.left
    return ["Amount due", money(left, document.currency)]


def _remarks(document: InvoiceDocument) -> list[str]:
    found = []
    if document.kind == CREDIT_NOTE:
        found.append(f"This credit note corrects invoice {document.refers_to}.")
        found += [f"Reason: {document.reason}."] if document.reason else []
    elif document.due_days is not None and document.left > 0 and document.status != "VOID":
        within = (
            "on receipt" if document.due_days == 0 else f"within {document.due_days} days of the invoice date"
        )
        found.append(f"Payable {within}. Please quote {document.number} with your payment.")
    elif document.refers_to:
        found.append(f"This invoice replaces {document.refers_to}.")
    if any(tax.category == REVERSE_CHARGE for tax in document.taxes):
        found.append("Reverse charge: the recipient of the service accounts for the tax.")
    if any(tax.category == EXEMPT for tax in document.taxes):
        found.append("Exempt from tax.")
    return [*found, document.note] if document.note else found
