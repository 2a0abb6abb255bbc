"""Filter conditions on one event."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.access import FilterCondition
from domain.filters import UnknownOperator, field_value, meets

EVENT = {
    "status": 404,
    "region": "eu-west",
    "ok": True,
    "none": None,
    "tags": ["beta", 7],
    "metadata": {"tier": "gold", "deep": {"er": "x"}},
    "properties": {"size": Decimal("1000.0")},
}


@pytest.mark.parametrize(
    ("field", "operator", "value", "expected"),
    [
        ("status", "EQUALS", "404", True),
        ("status", "EQUALS", "404.0", True),
        ("size", "EQUALS", "1e3", True),
        ("region", "EQUALS", "EU-WEST", False),
        ("ok", "EQUALS", "true", True),
        ("none", "EQUALS", "", False),
        ("absent", "EQUALS", "x", False),
        ("status", "NOT_EQUALS", "404", False),
        ("absent", "NOT_EQUALS", "x", True),
        ("status", "GREATER_THAN", "99", True),
        ("status", "GREATER_THAN", "404", False),
        ("region", "GREATER_THAN", "a", False),
        ("status", "LESS_THAN", "1000", True),
        ("absent", "LESS_THAN", "1", False),
        ("region", "CONTAINS", "west", True),
        ("tags", "CONTAINS", "7.0", True),
        ("tags", "CONTAINS", "bet", False),
        ("region", "NOT_CONTAINS", "east", True),
        ("absent", "NOT_CONTAINS", "x", True),
        ("status", "IN", "400, 404", True),
        ("tier", "IN", "silver,gold", True),
        ("absent", "IN", "x", False),
        ("status", "NOT_IN", "400,404", False),
        ("absent", "NOT_IN", "x", True),
        ("deep.er", "EQUALS", "x", True),
        ("metadata.tier", "EQUALS", "gold", True),
    ],
)
def test_each_operator_holds_where_it_should(field: str, operator: str, value: str, expected: bool) -> None:
    assert meets([FilterCondition(field, operator, value)], EVENT) is expected


def test_all_conditions_must_hold() -> None:
    both = [FilterCondition("status", "EQUALS", "404"), FilterCondition("ok", "EQUALS", "false")]
    assert meets(both[:1], EVENT) and not meets(both, EVENT)


def test_an_unknown_operator_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UnknownOperator, match=r"LIKE.*EQUALS.*NOT_IN"):
        meets([FilterCondition("status", "LIKE", "4%")], EVENT)


def test_the_top_level_beats_metadata() -> None:
    assert field_value({"a": 1, "metadata": {"a": 2}}, "a") == 1
