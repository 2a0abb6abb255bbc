"""Tax rates as written. Put here: reading and writing one, what contradicts another. Keep out: which one holds (domain.tax)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from domain.catalog.details import country, without_none
from domain.catalog.fields import FieldProblem, Fields, required, shown
from domain.quantity import plain
from domain.tax import TaxRate

CATEGORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST = Decimal(10)


def read_tax_rate(fields: Fields) -> TaxRate:
    """Raises FieldProblem."""
    where = country(fields, "country", "countryCode")
    rate = TaxRate(
        id=fields.key("id"),
        name=fields.text("name"),
        country=required(fields, "country", where),
        rate=_rate(fields),
        valid_from=required(fields, "validFrom", fields.day("validFrom")),
        region=fields.maybe_text("region", "state"),
        city=fields.maybe_text("city"),
        category=read_category(fields),
        inclusive=fields.flag("inclusive"),
        valid_until=fields.day("validUntil"),
    )
    fields.done()
    if rate.valid_until is not None and rate.valid_until <= rate.valid_from:
        what = f"{rate.valid_until} is not after validFrom {rate.valid_from}; it is the first day without it"
        raise FieldProblem(fields.at("validUntil"), what)
    if rate.city is not None and rate.region is None:
        raise FieldProblem(fields.at("region"), f"is missing; say which region the city {rate.city} is in")
    return rate


def read_category(fields: Fields) -> str | None:
    """`taxCategory`: what kind of thing is sold, as tax rates name it. Raises FieldProblem."""
    found = fields.maybe_text("taxCategory")
    if found is not None and not CATEGORY.fullmatch(found):
        right = "letters, digits and . _ - only, at most 64, the first a letter or digit"
        raise FieldProblem(fields.at("taxCategory"), f"{shown(found)} cannot be a tax category; use {right}")
    return found


def written_tax_rate(rate: TaxRate) -> dict[str, Any]:
    """As it is read; fields without a value are left out."""
    return without_none(
        {
            "id": rate.id,
            "name": rate.name,
            "country": rate.country,
            "region": rate.region,
            "city": rate.city,
            "taxCategory": rate.category,
            "ratePercent": plain(rate.rate * 100),
            "inclusive": rate.inclusive or None,
            "validFrom": rate.valid_from.isoformat(),
            "validUntil": rate.valid_until and rate.valid_until.isoformat(),
        }
    )


def clash(one: TaxRate, other: TaxRate) -> bool:
    """Whether both would tax the same thing at the same time under the same name: one tax levied twice."""
    same = (one.jurisdiction.casefold(), one.category, one.name.casefold()) == (
        other.jurisdiction.casefold(),
        other.category,
        other.name.casefold(),
    )
    starts_in_time = other.valid_until is None or one.valid_from < other.valid_until
    ends_in_time = one.valid_until is None or other.valid_from < one.valid_until
    return same and one.id != other.id and starts_in_time and ends_in_time


def _rate(fields: Fields) -> Decimal:
    """Percent as `ratePercent`, or a fraction as `rate`."""
    name, _ = fields.raw("ratePercent", "rate")
    value = required(fields, "ratePercent", fields.price(name))
    rate = value / 100 if name == "ratePercent" else value
    if rate > _MOST:
        raise FieldProblem(fields.at(name), f"{plain(value)} is more than {plain(_MOST * 100)} %")
    if round(rate, 10) != rate:
        raise FieldProblem(fields.at(name), f"{plain(value)} is finer than a rate of tax can be")
    return rate
