"""Filter conditions of a unit. Put here: whether one event meets them. Keep out: where units come from, frames.

Numbers are compared as numbers ("1e3" equals "1000.0"), everything else as text, with case. A field that is absent or
null is equal to nothing: it meets NOT_EQUALS, NOT_CONTAINS and NOT_IN, and no other condition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from domain.access import FilterCondition
from domain.errors import PermanentFailure

_NESTED = ("metadata", "properties")


class UnknownOperator(PermanentFailure):
    """A condition uses an operator that does not exist."""

    code = "UNKNOWN_OPERATOR"


def field_value(event: Mapping[str, Any], name: str) -> object:
    """A field of an event: at top level, else in `metadata`, else in `properties`; dots go into objects."""
    for place in (event, *(event.get(nested) for nested in _NESTED)):
        value = _at(place, name)
        if value is not None:
            return value
    return None


def meets(conditions: Iterable[FilterCondition], event: Mapping[str, Any]) -> bool:
    """Whether the event meets every condition. Raises UnknownOperator."""
    return all(_holds(condition, field_value(event, condition.field)) for condition in conditions)


def as_text(value: object) -> str:
    """A field's value as the text that conditions and distinct counts compare."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _at(place: object, name: str) -> object:
    if not isinstance(place, Mapping):
        return None
    if name in place:
        return place[name]
    head, dot, rest = name.partition(".")
    return _at(place.get(head), rest) if dot else None


def _holds(condition: FilterCondition, value: object) -> bool:
    operator = condition.operator
    if operator in _NEGATIONS:
        return not _holds_plainly(_NEGATIONS[operator], value, condition.value)
    return _holds_plainly(operator, value, condition.value)


def _holds_plainly(operator: str, value: object, wanted: str) -> bool:
    test = _TESTS.get(operator)
    if test is None:
        known = ", ".join((*_TESTS, *_NEGATIONS))
        raise UnknownOperator(f"filter operator {operator!r} does not exist; use one of {known}")
    return value is not None and test(value, wanted)


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value).strip())
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


def _equals(value: object, wanted: str) -> bool:
    number, wanted_number = _number(value), _number(wanted)
    if number is not None and wanted_number is not None:
        return number == wanted_number
    return as_text(value) == wanted


def _greater(value: object, wanted: str) -> bool:
    number, wanted_number = _number(value), _number(wanted)
    return number is not None and wanted_number is not None and number > wanted_number


def _less(value: object, wanted: str) -> bool:
    number, wanted_number = _number(value), _number(wanted)
    return number is not None and wanted_number is not None and number < wanted_number


def _contains(value: object, wanted: str) -> bool:
    if isinstance(value, list):
        return any(_equals(item, wanted) for item in value)
    return wanted in as_text(value)


def _in(value: object, wanted: str) -> bool:
    return any(_equals(value, item.strip()) for item in wanted.split(","))


_TESTS: Mapping[str, Callable[[object, str], bool]] = {
    "EQUALS": _equals,
    "GREATER_THAN": _greater,
    "LESS_THAN": _less,
    "CONTAINS": _contains,
    "IN": _in,
}
_NEGATIONS = {"NOT_EQUALS": "EQUALS", "NOT_CONTAINS": "CONTAINS", "NOT_IN": "IN"}
