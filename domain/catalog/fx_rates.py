"""Exchange rates as written. Put here: reading and writing one. Keep out: which one holds (domain.exchange)."""

from __future__ import annotations

from typing import Any

from domain.catalog.details import currency, without_none
from domain.catalog.fields import FieldProblem, Fields, required
from domain.exchange import FxRate
from domain.quantity import plain


def read_fx_rate(fields: Fields) -> FxRate:
    """Raises FieldProblem."""
    rate = FxRate(
        from_currency=currency(fields, "from", None, "fromCurrency"),
        to_currency=currency(fields, "to", None, "toCurrency"),
        day=required(fields, "day", fields.day("day")),
        rate=required(fields, "rate", fields.price("rate")),
        source=fields.maybe_text("source"),
    )
    fields.done()
    if rate.from_currency == rate.to_currency:
        raise FieldProblem(fields.at("to"), f"{rate.to_currency} is what it is exchanged from; name another")
    if not rate.rate:
        raise FieldProblem(fields.at("rate"), "must be above 0: what one unit is worth in the other currency")
    return rate


def written_fx_rate(rate: FxRate) -> dict[str, Any]:
    """As it is read; fields without a value are left out."""
    return without_none(
        {
            "from": rate.from_currency,
            "to": rate.to_currency,
            "day": rate.day.isoformat(),
            "rate": plain(rate.rate),
            "source": rate.source,
        }
    )
