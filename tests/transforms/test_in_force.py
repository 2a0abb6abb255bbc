"""Which events count once some were voided or amended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl

from tests.transforms.billing_rows import MID_NOVEMBER, term
from tests.transforms.event_rows import event, key_hash, validated
from transforms.in_force import in_force

CALLS = term()
OTHERS = term(tenant_id="other")


def act(
    kind: str, corrects: str, key: str, quantity: int = 0, line: dict[str, Any] = CALLS
) -> dict[str, Any]:
    return event(
        line, quantity, MID_NOVEMBER, idempotency_key=key, act=kind, corrects=corrects,
        received_at=MID_NOVEMBER + timedelta(days=40), origin_received_at=MID_NOVEMBER + timedelta(seconds=1), late=True,
    )  # fmt: skip


def sent(key: str, quantity: int = 1, line: dict[str, Any] = CALLS) -> dict[str, Any]:
    return event(line, quantity, MID_NOVEMBER, idempotency_key=key)


def left(*rows: dict[str, Any]) -> list[tuple[str, int, int]]:
    found = in_force(validated(*rows).lazy()).sort("raw_seq").collect()
    return [
        (key, int(quantity), seq)
        for key, quantity, seq in found.select("idempotency_key", "quantity", "raw_seq").rows()
    ]


def test_events_nobody_touched_are_as_they_were() -> None:
    events = validated(sent("a"), sent("b")).lazy()
    assert in_force(events).collect().equals(events.collect())


def test_a_void_event_and_its_void_do_not_count() -> None:
    assert left(sent("a"), sent("b"), act("VOID", "a", "void:1")) == [("b", 1, 2)]


def test_an_amended_event_counts_once_as_it_should_have_been_under_its_own_key() -> None:
    rows = (sent("a", 3), act("AMEND", "a", "amend:1", 5))
    assert left(*rows) == [("a", 5, 2)]
    found = in_force(validated(*rows).lazy()).collect()
    assert found["key_hash"].to_list() == [key_hash("acme", "a")]
    assert (found["late"].to_list(), found["received_at"].to_list()) == (
        [False],
        [MID_NOVEMBER + timedelta(seconds=1)],
    )


def test_an_amendment_is_amended_and_voided_by_its_own_key() -> None:
    twice = (sent("a", 3), act("AMEND", "a", "amend:1", 5), act("AMEND", "amend:1", "amend:2", 7))
    assert left(*twice) == [("a", 7, 3)]
    assert left(*twice, act("VOID", "amend:2", "void:1")) == []


def test_of_two_acts_upon_one_event_the_first_stands_wherever_it_lies() -> None:
    first = act("AMEND", "a", "amend:1", 5) | {"raw_seq": 2}
    second = act("VOID", "a", "void:2") | {"raw_seq": 3}
    origin = sent("a", 3) | {"raw_seq": 1}
    assert left(origin, first, second) == left(second, first, origin) == [("a", 5, 2)]


def test_an_act_touches_its_own_tenant_and_key_only() -> None:
    same_hash = sent("b") | {"key_hash": key_hash("acme", "a")}
    rows = (sent("a"), sent("a", line=OTHERS), same_hash, act("VOID", "a", "void:1"))
    assert left(*rows) == [("a", 1, 2), ("b", 1, 3)]


def test_the_schema_is_that_of_validated_events() -> None:
    events = validated(sent("a"), act("AMEND", "a", "amend:1", 5)).lazy()
    assert in_force(events).collect_schema() == events.collect_schema()
    assert in_force(events).filter(pl.col("occurred_month") == "2023-11").collect().height == 1


def test_asking_twice_changes_nothing() -> None:
    events = validated(
        sent("a"), sent("b"), act("AMEND", "a", "amend:1", 5), act("VOID", "b", "void:1")
    ).lazy()
    once = in_force(events).collect()
    assert in_force(once.lazy()).collect().equals(once)
