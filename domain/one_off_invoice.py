"""Invoices made by hand. Put here: reading one, what its lines come to. Keep out: numbers, storage."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from domain.catalog.details import maybe_currency, maybe_key
from domain.catalog.fields import FieldProblem, Fields
from domain.money import EXPONENTS, allocate, round_money

MOST_LINES = 500


@dataclass(frozen=True, slots=True)
class OneOffLine:
    """quantity and unit_price, or an amount. tax_percent None: not taxed."""

    description: str
    quantity: Decimal | None
    unit_price: Decimal | None
    amount: Decimal | None
    tax_percent: Decimal | None

    @property
    def unrounded(self) -> Decimal:
        if self.amount is not None:
            return self.amount
        assert self.quantity is not None and self.unit_price is not None
        return self.quantity * self.unit_price


@dataclass(frozen=True, slots=True)
class OneOffInvoice:
    """currency, billing_entity None: the customer's own. due_days None: as agreed with the customer."""

    customer: str
    currency: str | None
    billing_entity: str | None
    due_days: int | None
    lines: tuple[OneOffLine, ...]


def read_one_off(fields: Fields) -> OneOffInvoice:
    """Raises FieldProblem."""
    items = fields.items("lines", "lineItems")
    if not 0 < len(items) <= MOST_LINES:
        raise FieldProblem(fields.at("lines"), f"holds {len(items)} lines; an invoice has 1 to {MOST_LINES}")
    found = OneOffInvoice(
        customer=fields.text("customerId"),
        currency=maybe_currency(fields, "currency"),
        billing_entity=maybe_key(fields, "billingEntityId", "billingEntity"),
        due_days=fields.whole("dueDays", 0, 365),
        lines=tuple(_line(Fields(item, path)) for path, item in items),
    )
    fields.done()
    return found


def taxes_of(lines: tuple[OneOffLine, ...], currency: str, rounding: str) -> list[tuple[Decimal, Decimal]]:
    """Amount and tax of each line: amounts rounded once, the tax once per rate on what is taxed at it, then shared among its lines."""
    exponent = EXPONENTS[currency]
    amounts = [round_money(line.unrounded, exponent, rounding) for line in lines]
    taxes = [Decimal(0)] * len(lines)
    for percent in {line.tax_percent for line in lines if line.tax_percent}:
        own = [place for place, line in enumerate(lines) if line.tax_percent == percent]
        base = sum((amounts[place] for place in own), Decimal(0))
        tax = round_money(base * percent / 100, exponent, rounding)
        if tax:
            for place, share in zip(
                own, allocate(tax, [amounts[place] for place in own], exponent), strict=True
            ):
                taxes[place] = share
    return list(zip(amounts, taxes, strict=True))


def _line(fields: Fields) -> OneOffLine:
    line = OneOffLine(
        description=fields.text("description"),
        quantity=fields.quantity("quantity"),
        unit_price=fields.price("unitPrice"),
        amount=fields.price("amount"),
        tax_percent=fields.price("taxPercent"),
    )
    by_unit = line.quantity is not None and line.unit_price is not None
    if (line.amount is not None) == by_unit or (line.quantity is None) != (line.unit_price is None):
        raise FieldProblem(fields.at("amount"), "say either an amount, or quantity and unitPrice")
    fields.done()
    return line
