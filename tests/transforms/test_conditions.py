"""Conditions on frames say what the door's conditions say, on any event."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.exact_json import decode
from domain.access import FilterCondition
from domain.catalog.units import OPERATORS
from domain.filters import UnknownOperator, as_text, field_value, meets
from transforms.conditions import counts, distinct_values, read

FIELDS = (
    "status",
    "region",
    "metadata",
    "metadata.tier",
    "a.b",
    "tier",
    "properties",
    "$x",
    ":",
    "é",
    "x-y z",
)
NAMES = (
    "status",
    "region",
    "metadata",
    "properties",
    "tier",
    "a",
    "b",
    "a.b",
    "metadata.tier",
    "$x",
    ":",
    "é",
    "",
)

words = st.sampled_from(
    [
        "",
        "404",
        "404.0",
        "4e2",
        "eu-west",
        "eu",
        "true",
        "null",
        "a,b",
        "1_000",
        " 5 ",
        "-0",
        "{",
        "}",
        "\\",
        '"',
        "status",
        ":5,",
    ]
) | st.text(max_size=4).filter(lambda text: text.isprintable())
numbers = st.sampled_from(
    ["0", "-0", "404", "404.0", "4.04e2", "4.04E+2", "1.10", "-3", "0.1000000000000000055511151231257827",
     "123456789012345678901234567890", "1e400", "5", "-0.0"]
)  # fmt: skip
scalars = (
    words.map(json.dumps)
    | words.map(lambda w: json.dumps(w, ensure_ascii=False))
    | numbers
    | st.sampled_from(["true", "false", "null"])
)


def as_object(members: list[tuple[str, str]]) -> str:
    """JSON text; names may repeat, as they may in what clients send."""
    return (
        "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {value}" for name, value in members) + "}"
    )


def members(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=4).map(as_object)


nested = st.recursive(
    scalars,
    lambda values: st.lists(values, max_size=3).map(lambda v: f"[{','.join(v)}]") | members(values),
    max_leaves=6,
)
flat = members(scalars)
usual = st.tuples(flat, flat).map(
    lambda two: two[0][:-1] + (", " if len(two[0]) > 2 else "") + f'"metadata": {two[1]}}}'
)
events = st.lists(flat | usual | members(nested), max_size=6)
conditions = st.builds(
    FilterCondition,
    st.sampled_from(FIELDS),
    st.sampled_from(OPERATORS),
    words | numbers | st.lists(words | numbers, min_size=1, max_size=3).map(", ".join),
)
thorough = settings(max_examples=400, deadline=None)


def filters(*several: FilterCondition) -> str:
    return json.dumps([{"field": c.field, "operator": c.operator, "value": c.value} for c in several])


@thorough
@given(events, st.lists(conditions, min_size=1, max_size=3))
def test_an_event_counts_in_the_lake_exactly_where_it_counts_at_the_door(
    payloads: list[str], several: list[FilterCondition]
) -> None:
    found = counts(pl.Series(payloads, dtype=pl.String), filters(*several))
    assert found.to_list() == [meets(several, decode(payload)) for payload in payloads]


@thorough
@given(events, st.sampled_from(FIELDS))
def test_distinct_values_are_those_the_door_counts(payloads: list[str], field: str) -> None:
    at_the_door = [field_value(decode(payload), field) for payload in payloads]
    found = distinct_values(pl.Series(payloads, dtype=pl.String), field)
    assert found.to_list() == [None if value is None else as_text(value) for value in at_the_door]


@thorough
@given(members(nested))
def test_an_event_is_read_as_the_door_read_it(payload: str) -> None:
    assert repr(read(payload)) == repr(decode(payload))


@pytest.mark.parametrize("payload", [None, "", "[1]", '"text"'])
def test_an_event_without_content_has_no_fields(payload: str | None) -> None:
    asked = filters(FilterCondition("a", "NOT_EQUALS", "1"), FilterCondition("a", "NOT_IN", "1,2"))
    assert counts(pl.Series([payload], dtype=pl.String), asked).to_list() == [True]
    assert distinct_values(pl.Series([payload], dtype=pl.String), "a").to_list() == [None]


def test_without_conditions_every_event_counts() -> None:
    assert counts(pl.Series(["{}", None], dtype=pl.String), "[]").to_list() == [True, True]


def test_an_unknown_operator_is_an_error_even_without_events() -> None:
    with pytest.raises(UnknownOperator, match="LIKE"):
        counts(pl.Series([], dtype=pl.String), filters(FilterCondition("a", "LIKE", "1")))
