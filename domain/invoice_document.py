"""An invoice or credit note as its reader gets it. Put here: its parts, complete in themselves. Keep out: sums, rendering, where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from domain.catalog.details import Address

INVOICE, CREDIT_NOTE = "INVOICE", "CREDIT_NOTE"
STANDARD_RATE, ZERO_RATE, EXEMPT, REVERSE_CHARGE, NOT_SUBJECT = "S", "Z", "E", "AE", "O"
"""Categories of value added tax as electronic invoices spell them (UNTDID 5305)."""


@dataclass(frozen=True, slots=True)
class Party:
    """Who sells or buys. name: the legal one. trading_name: what it is known by. tax_id: such as a VAT number."""

    name: str
    trading_name: str | None = None
    address: Address | None = None
    tax_id: str | None = None
    email: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentTier:
    """A band of a graduated or volume price, as charged. up_to None: the last one."""

    up_to: Decimal | None
    quantity: Decimal
    unit_price: Decimal
    flat_fee: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """A line. amount: before discounts. taxable: amount − discount (and − tax, where prices include it). tax_rate: in percent.

    first_day, last_day: the days charged for, both inclusive. adjustment: what of the amount a minimum or maximum spend made.
    percent, base: the line is this many percent of that much.
    """

    line_id: str
    group: str
    description: str
    amount: Decimal
    discount: Decimal
    taxable: Decimal
    tax: Decimal
    tax_category: str = NOT_SUBJECT
    tax_rate: Decimal = Decimal(0)
    first_day: date | None = None
    last_day: date | None = None
    quantity: Decimal | None = None
    included: Decimal | None = None
    unit: str | None = None
    unit_price: Decimal | None = None
    adjustment: Decimal = Decimal(0)
    tiers: tuple[DocumentTier, ...] = ()
    percent: Decimal | None = None
    base: Decimal | None = None


@dataclass(frozen=True, slots=True)
class TaxTotal:
    """The tax of one kind and rate. rate: in percent. base: what is taxed."""

    category: str
    rate: Decimal
    base: Decimal
    tax: Decimal
    name: str = "Tax"


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """All a document says. paid: received so far. credited: taken off by credit notes. left: still to be paid."""

    kind: str
    number: str
    status: str
    currency: str
    issued_on: date
    seller: Party
    buyer: Party
    lines: tuple[DocumentLine, ...]
    taxes: tuple[TaxTotal, ...]
    subtotal: Decimal
    discount: Decimal
    tax: Decimal
    total: Decimal
    wallet: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    credited: Decimal = Decimal(0)
    left: Decimal = Decimal(0)
    due_on: date | None = None
    due_days: int | None = None
    first_day: date | None = None
    last_day: date | None = None
    refers_to: str | None = None
    refers_to_date: date | None = None
    reason: str | None = None
    note: str | None = None
    footer: str | None = None
    color: str | None = None
    content_hash: str | None = None
    group_titles: dict[str, str] = field(default_factory=dict)
