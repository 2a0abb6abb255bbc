"""Billable units. Put here: what a unit is, and how it is read. Keep out: prices, reducing events."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from domain.access import FilterCondition
from domain.catalog.fields import FieldProblem, Fields, shown
from domain.catalog.products import TYPES

AGGREGATIONS = (
    "COUNT", "SUM", "UNIQUE", "MAX", "MIN", "AVG", "LATEST", "PERCENTILE_95", "PERCENTILE_99",
)  # fmt: skip
ALIASES = {"COUNT_DISTINCT": "UNIQUE", "P95": "PERCENTILE_95", "P99": "PERCENTILE_99"}
OPERATORS = (
    "EQUALS", "NOT_EQUALS", "GREATER_THAN", "LESS_THAN", "CONTAINS", "NOT_CONTAINS", "IN", "NOT_IN",
)  # fmt: skip
LISTS = ("IN", "NOT_IN")
ACTIVE, ARCHIVED = "ACTIVE", "ARCHIVED"
STATUSES = (ACTIVE, ARCHIVED)
_RESERVED = "system."
_NOT_OF_A_KEY = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Unit:
    """What is counted. `key` is stable, `name` is shown; events may carry either.

    product_types: of the products it is meant for; empty: any. required: whether a product of these types should have it.
    An ARCHIVED unit is unknown to the doors and to new plans; plans that price it already go on.
    """

    key: str
    name: str
    aggregation: str
    unit_label: str | None = None
    event_field: str | None = None
    filters: tuple[FilterCondition, ...] = ()
    allow_negative: bool = False
    product_types: tuple[str, ...] = ()
    description: str | None = None
    category: str | None = None
    required: bool = False
    status: str = ACTIVE

    @property
    def words(self) -> frozenset[str]:
        """What events may call it, as compared: without case."""
        return frozenset((self.key.lower(), self.name.lower()))


def read_unit(fields: Fields) -> Unit:
    """Raises FieldProblem."""
    key = fields.key("key")
    name = fields.maybe_text("name") or key
    for field, word in (("key", key), ("name", name)):
        if word.lower().startswith(_RESERVED):
            what = f"{shown(word)} is reserved: names starting with {_RESERVED} are never billed"
            raise FieldProblem(fields.at(field), what)
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
        product_types=_product_types(fields),
        description=fields.maybe_text("description"),
        category=fields.maybe_text("category"),
        required=fields.flag("required"),
        status=fields.choice("status", STATUSES, ACTIVE),
    )
    fields.done()
    return unit


def unit_document(unit: Unit) -> dict[str, Any]:
    """The unit as `read_unit` reads it, every field."""
    return {
        "key": unit.key,
        "name": unit.name,
        "unitLabel": unit.unit_label,
        "aggregationType": unit.aggregation,
        "eventField": unit.event_field,
        "productTypes": list(unit.product_types),
        "description": unit.description,
        "required": unit.required,
        "category": unit.category,
        "filterConditions": [asdict(condition) for condition in unit.filters],
        "allowNegative": unit.allow_negative,
        "status": unit.status,
    }


def key_of(name: str) -> str | None:
    """The key a unit gets from its name ("API Calls" is `api_calls`); None: the name has nothing a key could be made of."""
    return _NOT_OF_A_KEY.sub("_", name.lower()).strip("_")[:128] or None


def _product_types(fields: Fields) -> tuple[str, ...]:
    found = [Fields({"": item}, path).choice("", TYPES) for path, item in fields.items("productTypes")]
    return tuple(dict.fromkeys(found))


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
        if not words:
            raise FieldProblem(fields.at(name), "is empty; write at least one value")
        text = ",".join(words)
    else:
        text = _word(value, fields.at(name))
    condition = FilterCondition(field=fields.text("field"), operator=operator, value=text)
    fields.done()
    return condition


def _word(value: object, path: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | Decimal) and str(value) and "\0" not in str(value):
        return str(value)
    raise FieldProblem(path, f"{shown(value)} is not text or a number")
