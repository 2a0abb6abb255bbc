"""Documents for tests: short, long, taxed, credited. Keep out: assertions."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from domain.catalog.details import Address
from domain.invoice_document import (
    CREDIT_NOTE,
    INVOICE,
    NOT_SUBJECT,
    STANDARD_RATE,
    DocumentLine,
    DocumentTier,
    InvoiceDocument,
    Party,
    TaxTotal,
)

D = Decimal
SELLER = Party(
    "Northwind AI GmbH",
    "Northwind AI",
    Address("Lindenallee 12", None, "Berlin", None, "10115", "DE"),
    "DE123456789",
    "billing@northwind.example",
)
BUYER = Party(
    "Lumen Studio S.L.",
    None,
    Address("Calle de la Luz 8", "3º B", "Madrid", None, "28004", "ES"),
    "ESB12345678",
    "pagos@lumen.example",
    "lumen",
)
FIRST, LAST = date(2026, 10, 1), date(2026, 10, 31)
TIERS = (
    DocumentTier(D(1000000), D(1000000), D("0.000003"), D(0), D("3")),
    DocumentTier(D(3000000), D(2000000), D("0.0000025"), D(0), D("5")),
    DocumentTier(None, D(1234567), D("0.000002"), D(0), D("2.469134")),
)


def line(name: str, amount: str, rate: str = "19", **fields: object) -> DocumentLine:
    """A line with tax on top, rounded."""
    discount = D(str(fields.pop("discount", 0)))
    taxable = D(amount) - discount
    category = STANDARD_RATE if D(rate) else NOT_SUBJECT
    tax = (taxable * D(rate) / 100).quantize(D("0.01"))
    made = DocumentLine(
        f"ln_{name.lower().replace(' ', '_')}",
        "sub_lumen",
        name,
        D(amount),
        discount,
        taxable,
        tax,
        category,
        D(rate),
    )
    return replace(made, **{"first_day": FIRST, "last_day": LAST, **fields})


LINES = (
    line("Scale, monthly fee", "399.00", quantity=D(1), unit_price=D("399")),
    line("Input Tokens", "10.47", quantity=D(4234567), unit="token", tiers=TIERS),
    line("API Requests", "12.34", quantity=D(4085), included=D(1000), unit="request", unit_price=D("0.004")),
    line("Active Users", "640.00", quantity=D(200), unit="user", unit_price=D("3.2"), discount="64.00"),
    line(
        "Card payments", "396.00", quantity=D(12000), unit_price=D("0.033"), percent=D("3.3"), base=D(12000)
    ),
    line("Premium Support", "150.00", quantity=D(1), unit_price=D("150")),
    line("Translation handbook", "48.00", "7", quantity=D(2), unit_price=D("24"), group=""),
)


def document(lines: tuple[DocumentLine, ...] = LINES, **fields: object) -> InvoiceDocument:
    """An open invoice of these lines, its taxes per rate."""
    keys = sorted({(each.tax_category, each.tax_rate) for each in lines})
    taxes = []
    for category, rate in keys:
        own = [each for each in lines if (each.tax_category, each.tax_rate) == (category, rate)]
        base, tax = sum((each.taxable for each in own), D(0)), sum((each.tax for each in own), D(0))
        taxes.append(TaxTotal(category, rate, base, tax, "VAT"))
    subtotal, discount = (
        sum((each.amount for each in lines), D(0)),
        sum((each.discount for each in lines), D(0)),
    )
    tax = sum((each.tax for each in taxes), D(0))
    total = subtotal - discount + tax
    made = InvoiceDocument(
        kind=INVOICE,
        number="NW-2026-0042",
        status="OPEN",
        currency="EUR",
        issued_on=date(2026, 11, 4),
        seller=SELLER,
        buyer=BUYER,
        lines=lines,
        taxes=tuple(taxes),
        subtotal=subtotal,
        discount=discount,
        tax=tax,
        total=total,
        left=total,
        due_on=date(2026, 11, 18),
        due_days=14,
        first_day=FIRST,
        last_day=LAST,
        note="Thank you for building with us.",
        footer="Managing director: Ada Winter · Registered at Berlin, HRB 12345",
        color="#0F5C4D",
        content_hash="9f2c" * 16,
        group_titles={"sub_lumen": "Scale · sub_lumen", "": "Other"},
    )
    return replace(made, **fields)


def long_document() -> InvoiceDocument:
    """An invoice of several pages."""
    lines = []
    for place in range(12):
        title = f"sub_{place:02d}"
        lines += [replace(each, line_id=f"{each.line_id}_{place}", group=title) for each in LINES[:5]]
    return document(
        tuple(lines),
        number="NW-2026-0043",
        group_titles={f"sub_{n:02d}": f"Scale · Region {n + 1}" for n in range(12)},
    )


def untaxed_document() -> InvoiceDocument:
    """A plain one: JPY, no tax, no addresses, no branding."""
    lines = (
        line("Scale, monthly fee", "60000", "0", unit_price=D(60000), quantity=D(1)),
        line("Output Tokens", "1476", "0", quantity=D(1230000), unit="token", unit_price=D("0.0012")),
    )
    return document(
        lines,
        currency="JPY",
        seller=Party("Northwind AI Inc."),
        buyer=Party("Kitsune Robotics 株式会社", email="billing@kitsune.example", reference="kitsune"),
        color=None,
        footer=None,
        note=None,
        group_titles={"sub_lumen": "Scale"},
    )


def credit_note() -> InvoiceDocument:
    return document(
        (replace(LINES[3], description="Active Users (half)", amount=D("320.00"), discount=D("32.00"), taxable=D("288.00"), tax=D("54.72"), quantity=None, unit_price=None),),
        kind=CREDIT_NOTE, number="NW-CN-2026-0001", status="ISSUED", refers_to="NW-2026-0042", refers_to_date=date(2026, 11, 4),
        reason="Service outage on 12 October", due_on=None, due_days=None, left=D(0), note=None,
    )  # fmt: skip
