"""Billable units. Put here: what a unit is, and how it is read. Keep out: prices, reducing events."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from domain.access import FilterCondition
from domain.catalog.fields import FieldProblem, Fields, shown

AGGREGATIONS = (
    "COUNT", "SUM", "UNIQUE", "MAX", "MIN", "AVG", "LATEST", "PERCENTILE_95", "PERCENTILE_99",
)  # fmt: skip
ALIASES = {"COUNT_DISTINCT": "UNIQUE", "P95": "PERCENTILE_95", "P99": "PERCENTILE_99"}
OPERATORS = (
    "EQUALS", "NOT_EQUALS", "GREATER_THAN", "LESS_THAN", "CONTAINS", "NOT_CONTAINS", "IN", "NOT_IN",
)  # fmt: skip
LISTS = ("IN", "NOT_IN")


@dataclass(frozen=True, slots=True)
class Unit:
    """What is counted. `key` is stable, `name` is shown; events may carry either."""

    key: str
    name: str
    aggregation: str
    unit_label: str | None = None
    event_field: str | None = None
    filters: tuple[FilterCondition, ...] = ()
    allow_negative: bool = False


def read_unit(fields: Fields) -> Unit:
    """Raises FieldProblem."""
    key = fields.key("key")
    if key.startswith("system."):
        raise FieldProblem(
            fields.at("key"), f"{shown(key)} is reserved: names starting with system. are never billed"
        )
    name = fields.maybe_text("name") or key
    sent = fields.choice("aggregation", (*AGGREGATIONS, *ALIASES), None, "aggregationType")
    aggregation = ALIASES.get(sent, sent)
    event_field = fields.maybe_text("eventField")
    if aggregation == "UNIQUE" and event_field is None:
        raise FieldProblem(
            fields.at("eventField"), "is missing; UNIQUE counts the values of a field, so name it"
        )
    unit = Unit(
        key=key,
        name=name,
        aggregation=aggregation,
        unit_label=fields.maybe_text("unitLabel"),
        event_field=event_field,
        filters=tuple(
            _condition(Fields(item, path)) for path, item in fields.items("filterConditions", "filters")
        ),
        allow_negative=fields.flag("allowNegative"),
    )
    fields.done()
    return unit


def _condition(fields: Fields) -> FilterCondition:
    operator = fields.choice("operator", OPERATORS)
    name, value = fields.raw("value")
    if operator in LISTS and isinstance(value, list):
        words = [_word(item, f"{fields.at(name)}[{index}]") for index, item in enumerate(value)]
        for index, word in enumerate(words):
            if "," in word:
                raise FieldProblem(
                    f"{fields.at(name)}[{index}]", f"{shown(word)} holds a comma, which separates values"
                )
        text = ",".join(words)
    else:
        text = _word(value, fields.at(name))
    condition = FilterCondition(field=fields.text("field"), operator=operator, value=text)
    fields.done()
    return condition


def _word(value: object, path: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | Decimal) and str(value):
        return str(value)
    raise FieldProblem(path, f"{shown(value)} is not text or a number")
