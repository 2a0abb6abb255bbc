"""From rows of a file to events. Put here: which column means what, and stable keys. Keep out: reading, gates, Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from domain.errors import PermanentFailure
from domain.quantity import NotAQuantity, to_quantity
from domain.usage import CUSTOMER_NAMES, KEY_NAMES, TIME_NAMES, UNIT_NAMES


class BadMapping(PermanentFailure):
    """The options do not fit each other or the file."""

    code = "BAD_MAPPING"
    exit_code = 2


@dataclass(frozen=True)
class Measure:
    """One event per row: `unit` takes its quantity from the column `source`, or is the constant `source`."""

    unit: str
    source: str

    @classmethod
    def parse(cls, text: str) -> Measure:
        unit, equals, source = text.partition("=")
        if not (unit.strip() and equals and source.strip()):
            raise BadMapping(
                f"--metric {text!r}: write it as unit=column or unit=number, such as tokens_in=ContextTokens"
            )
        return cls(unit.strip(), source.strip())


@dataclass(frozen=True)
class Columns:
    """What the options say. Without measures, rows are events in the wire shape already; then `customer` and `time`
    fill in what a row lacks."""

    measures: tuple[Measure, ...] = ()
    customer: str | None = None
    customer_column: str | None = None
    time: str | None = None
    time_column: str | None = None
    key_column: str | None = None

    def check(self, columns: Sequence[str] | None) -> None:
        """Refuse options that contradict each other or name columns that do not exist (None: not known yet)."""
        if self.customer and self.customer_column:
            raise BadMapping("--customer and --customer-column: give one of them")
        if self.time and self.time_column:
            raise BadMapping("--time and --time-column: give one of them")
        if not self.measures and (self.customer_column or self.time_column or self.key_column):
            raise BadMapping("--customer-column, --time-column and --key-column need --metric unit=column")
        if columns is None:
            return
        if not self.measures and not set(columns) & set(UNIT_NAMES):
            raise BadMapping(
                f"say what the columns mean with --metric unit=column; there are: {', '.join(columns)}"
            )
        for measure in self.measures:
            self._need(measure.source, columns, f"--metric {measure.unit}={measure.source}", or_number=True)
        self._need(self.customer_column, columns, "--customer-column")
        self._need(self.time_column, columns, "--time-column")
        self._need(self.key_column, columns, "--key-column")

    @staticmethod
    def _need(name: str | None, columns: Sequence[str], option: str, *, or_number: bool = False) -> None:
        if name is None or name in columns or (or_number and _is_number(name)):
            return
        kind = "neither a column nor a number" if or_number else "no column"
        raise BadMapping(f"{option}: {name!r} is {kind}; the columns are: {', '.join(columns)}")


@dataclass
class Rows:
    """Turns rows into events with keys that are the same each time the same rows are read.

    Equal rows are several events: the key holds the how-manieth of its kind a row is. That takes some 100 bytes of
    memory per distinct row; with a key column, or keys in the events, nothing is kept.
    """

    mapping: Columns
    _seen: dict[bytes, int] = field(default_factory=dict)

    def events(self, row: Mapping[str, Any], content: str) -> Iterator[tuple[dict[str, Any], str | None]]:
        """The events of a row, each with its text where that differs from the row's own. content: the row as read."""
        if not self.mapping.measures:
            yield self._as_sent(row, content), None
            return
        key = row.get(self.mapping.key_column) if self.mapping.key_column else None
        occurrence = 0 if key else self._occurrence(content)
        for measure in self.mapping.measures:
            event = self._measured(measure, row)
            unit = measure.unit
            event["idempotencyKey"] = (
                f"{key}:{unit}" if key else _stable_key(event.get("customerId"), unit, content, occurrence)
            )
            yield event, json.dumps(event, ensure_ascii=False, default=str)

    def _measured(self, measure: Measure, row: Mapping[str, Any]) -> dict[str, Any]:
        mapping = self.mapping
        customer = row.get(mapping.customer_column) if mapping.customer_column else mapping.customer
        time = row.get(mapping.time_column) if mapping.time_column else mapping.time
        event = {
            "customerId": customer,
            "metricName": measure.unit,
            "quantity": row.get(measure.source, None if not _is_number(measure.source) else measure.source),
            "occurredAt": time,
            "metadata": dict(row),
        }
        return {name: value for name, value in event.items() if value is not None}

    def _as_sent(self, row: Mapping[str, Any], content: str) -> dict[str, Any]:
        event = dict(row)
        if self.mapping.customer and not _first(event, CUSTOMER_NAMES):
            event["customerId"] = self.mapping.customer
        if self.mapping.time and not _first(event, TIME_NAMES):
            event["occurredAt"] = self.mapping.time
        if not _first(event, KEY_NAMES):
            customer, unit = _first(event, CUSTOMER_NAMES), _first(event, UNIT_NAMES)
            event["idempotencyKey"] = _stable_key(customer, unit, content, self._occurrence(content))
        return event

    def _occurrence(self, content: str) -> int:
        digest = blake2b(content.encode(), digest_size=8).digest()
        self._seen[digest] = self._seen.get(digest, -1) + 1
        return self._seen[digest]


def _stable_key(customer: object, unit: object, content: str, occurrence: int) -> str:
    said = json.dumps([customer, unit, content, occurrence], ensure_ascii=False, default=str)
    return "row:" + blake2b(said.encode(), digest_size=16).hexdigest()


def _first(event: Mapping[str, Any], names: Sequence[str]) -> object:
    return next((event[name] for name in names if event.get(name) not in (None, "")), None)


def _is_number(text: str) -> bool:
    try:
        to_quantity(text)
    except NotAQuantity:
        return False
    return True
