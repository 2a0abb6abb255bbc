"""Shapes of taxes and exchange rates. Keep out: what they are levied on, rules."""

from __future__ import annotations

from pydantic import Field

from api.control.shapes.shown import Day, Exact, Instant, Shown


class TaxRate(Shown):
    """What a jurisdiction takes of what is sold there."""

    id: str
    name: str
    country: str
    region: str | None
    city: str | None
    jurisdiction: str = Field(examples=["DE"])
    tax_category: str | None
    rate_percent: Exact
    rate: Exact
    inclusive: bool
    valid_from: Day
    valid_until: Day | None
    revision: int
    created_at: Instant
    updated_at: Instant


class FxRate(Shown):
    """What one unit of a currency is worth in another on a day."""

    id: str
    from_: str = Field(alias="from", examples=["USD"])
    to: str = Field(examples=["EUR"])
    day: Day
    rate: Exact
    source: str | None
    created_at: Instant


class InvoiceTax(Shown):
    """A tax of an invoice, or why nothing is taxed; `rate` is a fraction, 0.19 is 19 %."""

    number: int
    rate_id: str | None
    name: str
    jurisdiction: str | None
    category: str | None
    treatment: str = Field(examples=["STANDARD"])
    tax_id: str | None
    rate: Exact | None
    inclusive: bool
    currency: str
    taxable: Exact
    tax: Exact


class LineTax(Shown):
    """A tax of a line, or why it is not taxed."""

    rate_id: str | None
    name: str
    jurisdiction: str | None
    category: str | None
    treatment: str = Field(examples=["STANDARD"])
    tax_id: str | None
    rate: Exact | None
    inclusive: bool
    taxable: Exact
    tax: Exact
