"""Looking into an event. Put here: fields of the payload, and filter conditions over them. Keep out: which events to ask.

A field is looked for at the top of the event, then in `metadata`, then in `properties`. Numbers compare as numbers.
"""

from __future__ import annotations

import json
from functools import reduce
from operator import and_

import polars as pl

from domain.errors import PermanentFailure
from transforms.frames import QUANTITY

OPERATORS = ("EQUALS", "NOT_EQUALS", "GREATER_THAN", "LESS_THAN", "CONTAINS", "NOT_CONTAINS", "IN", "NOT_IN")


class UnknownOperator(PermanentFailure):
    """A filter condition that cannot be evaluated."""

    code = "UNKNOWN_OPERATOR"

    def __init__(self, operator: str) -> None:
        super().__init__(f"operator: {operator!r} is not one of {', '.join(OPERATORS)}")


def field_text(payload: pl.Expr, field: str) -> pl.Expr:
    """The field's value as text; null where the event does not have it."""
    name = field.replace("\\", "\\\\").replace("'", "\\'")
    paths = (f"$['{name}']", f"$['metadata']['{name}']", f"$['properties']['{name}']")
    return pl.coalesce(*(payload.str.json_path_match(path) for path in paths))


def counts(payload: pl.Expr, filters: str) -> pl.Expr:
    """Whether an event meets all conditions of a unit's `filters` (JSON list of {field, operator, value})."""
    conditions = [_holds(payload, condition) for condition in json.loads(filters)]
    return reduce(and_, conditions, pl.lit(True))


def _holds(payload: pl.Expr, condition: dict[str, str]) -> pl.Expr:
    actual, operator = field_text(payload, condition["field"]), condition["operator"]
    wanted = condition["value"]
    positive = {
        "EQUALS": lambda: _equals(actual, wanted),
        "GREATER_THAN": lambda: _number(actual) > _number(pl.lit(wanted)),
        "LESS_THAN": lambda: _number(actual) < _number(pl.lit(wanted)),
        "CONTAINS": lambda: actual.str.contains(wanted, literal=True),
        "IN": lambda: pl.any_horizontal(*(_equals(actual, each) for each in options(wanted))),
    }
    if operator in positive:
        return positive[operator]().fill_null(False)
    opposite = {"NOT_EQUALS": "EQUALS", "NOT_CONTAINS": "CONTAINS", "NOT_IN": "IN"}.get(operator)
    if opposite is None:
        raise UnknownOperator(operator)
    return ~_holds(payload, {**condition, "operator": opposite})


def options(value: str) -> list[str]:
    """The values of IN: a JSON list, or words separated by commas."""
    if value.lstrip().startswith("["):
        return [each if isinstance(each, str) else json.dumps(each) for each in json.loads(value)]
    return [each.strip() for each in value.split(",")]


def _number(text: pl.Expr) -> pl.Expr:
    return text.cast(QUANTITY, strict=False)


def _equals(actual: pl.Expr, wanted: str) -> pl.Expr:
    as_number = (_number(actual) == _number(pl.lit(wanted))).fill_null(False)
    return (actual == wanted) | as_number
