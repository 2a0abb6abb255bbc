"""Exchange rates. Put here: which day's rate holds, converting money once. Keep out: where rates are stored, how one is written."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from domain.money import EXACT, round_money

LOCK_AT_SUBSCRIPTION, LIVE_RATE = "LOCK_AT_SUBSCRIPTION", "LIVE_RATE"
NO_EXCHANGE_RATE = "NO_EXCHANGE_RATE"
OLDEST = timedelta(days=31)
"""A rate older than this says nothing about a day."""


@dataclass(frozen=True, slots=True)
class FxRate:
    """What one unit of a currency was worth in another on a day."""

    from_currency: str
    to_currency: str
    day: date
    rate: Decimal
    source: str | None = None


class FxTable:
    """A tenant's exchange rates."""

    def __init__(self, rates: Iterable[FxRate]) -> None:
        self._pairs: dict[tuple[str, str], tuple[list[date], list[Decimal]]] = {}
        for rate in sorted(rates, key=lambda each: each.day):
            days, values = self._pairs.setdefault((rate.from_currency, rate.to_currency), ([], []))
            days.append(rate.day)
            values.append(rate.rate)

    def on(self, from_currency: str, to_currency: str, day: date) -> Decimal | None:
        """The rate of the day, or of the last day before it that has one, at most OLDEST before; None: it is not known."""
        days, values = self._pairs.get((from_currency, to_currency), ([], []))
        place = bisect_right(days, day)
        if not place or day - days[place - 1] > OLDEST:
            return None
        return values[place - 1]


def no_rate(customer_id: str, from_currency: str, to_currency: str, day: date) -> str:
    """The problem of a line whose rate is not known."""
    return (
        f"{NO_EXCHANGE_RATE}: customer {customer_id} is billed in {to_currency}, its plan is priced in {from_currency}, and no "
        f"exchange rate is known for {day} or the {OLDEST.days} days before; add one from {from_currency} to {to_currency}"
    )


def exchanged(amount: Decimal, rate: Decimal, exponent: int, rounding: str) -> Decimal:
    """Money in the other currency, rounded once."""
    return round_money(EXACT.multiply(amount, rate), exponent, rounding)
