"""What an accepted event adds to hot state. Put here: which counters it moves and by how much. Keep out: Redis.

A counter belongs to a customer, a unit and a billing period, and is a whole number of millionths of a unit. COUNT and
SUM add up, MAX compares, UNIQUE counts distinct values approximately. The other aggregations have no counter: their
value follows from all events of the period, which only the lake knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from domain.access import CustomerRights
from domain.filters import as_text, field_value, meets
from domain.quantity import MICRO, to_micros
from domain.usage import UsageEvent

_MOST_KNOWN = 50_000

ADD = "+"
MAXIMUM = "M"
DISTINCT = "U"
OPERATIONS = {
    "COUNT": ADD, "SUM": ADD, "MAX": MAXIMUM, "UNIQUE": DISTINCT, "COUNT_DISTINCT": DISTINCT,
}  # fmt: skip
"""Aggregations that can be counted at the door."""


class Bump(NamedTuple):
    """One movement of one counter (a tuple: the door makes one for almost every event). amount: millionths for `+` and `M`, the distinct value for `U`."""

    customer_id: str
    field: str
    operation: str
    amount: int | str


def counter_field(unit: str, period_start: int) -> str:
    """The name of a counter within its customer's: `<unit>|<period start in epoch µs>`."""
    return f"{unit}|{period_start}"


def bumps(event: UsageEvent, sent: Mapping[str, Any], rights: CustomerRights | None) -> list[Bump]:
    """The counters this event moves if it is accepted: one for each period of a subscription that knows its unit."""
    unit = event.definition
    if rights is None or unit is None or event.refusals:
        return []
    operation = OPERATIONS.get(unit.aggregation)
    starts = _period_starts(rights, unit.key, event.occurred_at or 0)
    if operation is None or not starts or (unit.filters and not meets(unit.filters, sent)):
        return []
    amount = MICRO if unit.aggregation == "COUNT" else _amount(event, sent, operation)
    if amount is None:
        return []
    return [Bump(rights.customer_id, counter_field(unit.key, start), operation, amount) for start in starts]


class Counting:
    """`bumps` for many events: what one moves is remembered with the time in which other events of its customer and unit move the
    same, until the rights are others."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[CustomerRights, int, int, list[Bump]]] = {}

    def bumps(
        self, event: UsageEvent, sent: Mapping[str, Any], rights: CustomerRights | None
    ) -> Sequence[Bump]:
        """As the function of this name."""
        unit, moment = event.definition, event.occurred_at
        if (
            rights is None
            or unit is None
            or moment is None
            or event.refusals
            or unit.aggregation != "COUNT"
            or unit.filters
        ):
            return bumps(event, sent, rights)
        name = (rights.customer_id, unit.key)
        known = self._known.get(name)
        if known is not None and known[0] is rights and known[1] <= moment < known[2]:
            return known[3]
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        since, until = _around(rights, unit.key, moment)
        found = bumps(event, sent, rights)
        self._known[name] = rights, since, until, found
        return found


def _around(rights: CustomerRights, unit: str, moment: int) -> tuple[int, int]:
    """The time around a moment in which no period that counts the unit begins or ends."""
    changes = [change for period in counted_periods(rights, unit) for change in period]
    since = max((change for change in changes if change <= moment), default=moment)
    return since, min((change for change in changes if change > moment), default=moment + 1)


def counted_periods(rights: CustomerRights, unit: str) -> Iterator[tuple[int, int]]:
    """The periods [start, end) in which the customer's usage of a unit is counted."""
    for subscription in rights.subscriptions:
        if unit in subscription.units or any(feature.unit == unit for feature in subscription.features):
            yield from subscription.periods


def _period_starts(rights: CustomerRights, unit: str, moment: int) -> list[int]:
    found = [start for start, end in counted_periods(rights, unit) if start <= moment < end]
    return found if len(found) < 2 else sorted(set(found))


def _amount(event: UsageEvent, sent: Mapping[str, Any], operation: str) -> int | str | None:
    unit = event.definition
    assert unit is not None and event.quantity is not None
    if operation == DISTINCT:
        value = field_value(sent, unit.event_field) if unit.event_field else None
        return None if value is None else as_text(value)
    return to_micros(event.quantity)
