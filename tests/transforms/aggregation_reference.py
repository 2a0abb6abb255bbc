"""The nine aggregations over a list, in plain Python: what frames must come to. Put here: definitions. Keep out: frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal

EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True)
class Usage:
    """One event. key_hash puts events of the same moment in order."""

    quantity: Decimal
    at: datetime
    key_hash: int
    value: str | None = None


def _mean(events: Sequence[Usage]) -> Decimal:
    total = sum((event.quantity for event in events), Decimal(0))
    return EXACT.divide(total, Decimal(len(events))).quantize(Decimal("1e-9"), context=EXACT)


def _nearest_rank(percent: int) -> Callable[[Sequence[Usage]], Decimal]:
    def value(events: Sequence[Usage]) -> Decimal:
        rank = -(-percent * len(events) // 100)
        return sorted(event.quantity for event in events)[rank - 1]

    return value


REFERENCE: dict[str, Callable[[Sequence[Usage]], Decimal]] = {
    "COUNT": lambda events: Decimal(len(events)),
    "SUM": lambda events: sum((event.quantity for event in events), Decimal(0)),
    "UNIQUE": lambda events: Decimal(len({event.value for event in events} - {None})),
    "MAX": lambda events: max(event.quantity for event in events),
    "MIN": lambda events: min(event.quantity for event in events),
    "AVG": _mean,
    "LATEST": lambda events: max(events, key=lambda event: (event.at, event.key_hash)).quantity,
    "PERCENTILE_95": _nearest_rank(95),
    "PERCENTILE_99": _nearest_rank(99),
}
