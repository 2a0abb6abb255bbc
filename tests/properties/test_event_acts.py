"""Voiding and amending events comes to what would have been billed had they been right from the start, however all that arrives."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.test_metering import in_batches, lines
from tests.transforms.billing_rows import MID_NOVEMBER, terms
from tests.transforms.event_rows import RECEIVED, gated, metered_month, raw_event, raws
from transforms.pipeline import run

few = settings(max_examples=10, deadline=None)
quantities = st.integers(0, 2000).map(lambda n: Decimal(n) / 8)
moments = st.integers(-3, 3).map(lambda days: MID_NOVEMBER + timedelta(days=min(days, 0), seconds=days))
users = st.sampled_from(["x", "y", None])
says = st.fixed_dictionaries({"quantity": quantities, "occurred_at": moments, "user": users})
stories = st.lists(st.tuples(says, st.lists(says, max_size=2), st.booleans()), min_size=1, max_size=6)
"""Events: what each said, what its amendments say one after the other, and whether the last of them is then voided."""


def usage(line: dict[str, Any], key: str, said: dict[str, Any], **more: Any) -> dict[str, Any]:
    payload = "{}" if said["user"] is None else f'{{"user": "{said["user"]}"}}'
    who = {name: line[name] for name in ("tenant_id", "customer_id", "unit")}
    rest = {"occurred_at": said["occurred_at"], "payload": payload, "received_at": RECEIVED, **who}
    return raw_event(key, said["quantity"], **{**rest, **more})


def act(line: dict[str, Any], kind: str, corrects: str, said: dict[str, Any]) -> dict[str, Any]:
    """An act half a year later."""
    more = {"act": kind, "corrects": corrects, "origin_received_at": RECEIVED, "backfill": kind}
    return usage(line, f"{kind}:{corrects}", said, received_at=RECEIVED + timedelta(days=180), **more)


def arrived(line: dict[str, Any], told: list[Any]) -> list[dict[str, Any]]:
    """All that arrives of these stories."""
    rows = []
    for number, (first, amendments, voided) in enumerate(told):
        key = f"k{number}"
        rows.append(usage(line, key, first))
        for said in amendments:
            rows.append(act(line, "AMEND", key, said))
            key = rows[-1]["idempotency_key"]
        if voided:
            rows.append(act(line, "VOID", key, {**first, "quantity": Decimal(0)}))
    return rows


def as_if_right(line: dict[str, Any], told: list[Any]) -> list[dict[str, Any]]:
    """What would have arrived, had all been right from the start."""
    return [
        usage(line, f"k{number}", [first, *amendments][-1])
        for number, (first, amendments, voided) in enumerate(told)
        if not voided
    ]


def tables(kept: pl.DataFrame, frozen: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Every billing table; all but the raw positions, which say where what counts is written."""
    metered = metered_month(kept, frozen)
    return {"metered_events": metered.drop("raw_seq"), **run(metered_events=metered.lazy(), terms=frozen)}


def same(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> bool:
    return {name for name in one if not one[name].equals(other[name])} == set()


@few
@given(lines, stories, st.randoms(), st.lists(st.integers(0, 100), max_size=4))
def test_acts_come_to_what_should_have_been_sent_in_any_order_and_batches(
    line: dict[str, Any], told: list[Any], random: Any, ends: list[int]
) -> None:
    frozen = terms(line)
    rows = arrived(line, told)
    random.shuffle(rows)
    kept, _ = in_batches(raws(*rows), ends)
    right, _ = gated(raws(*as_if_right(line, told)))
    assert same(tables(kept, frozen), tables(right, frozen))


@few
@given(lines, st.lists(says, max_size=5), st.lists(says, min_size=1, max_size=3))
def test_adding_events_and_voiding_them_changes_no_billing_table(
    line: dict[str, Any], others: list[Any], added: list[Any]
) -> None:
    frozen = terms(line)
    before = [usage(line, f"o{number}", said) for number, said in enumerate(others)]
    after = before + arrived(line, [(said, [], True) for said in added])
    one, two = (metered_month(gated(raws(*rows))[0], frozen) for rows in (before, after))
    assert one.equals(two), "to the last column"
    assert same(*(run(metered_events=each.lazy(), terms=frozen) for each in (one, two)))


@few
@given(lines, st.lists(says, min_size=1, max_size=5))
def test_amending_events_to_what_they_said_changes_no_billing_table(
    line: dict[str, Any], said: list[Any]
) -> None:
    frozen = terms(line)
    plain, _ = gated(raws(*arrived(line, [(each, [], False) for each in said])))
    amended, _ = gated(raws(*arrived(line, [(each, [each], False) for each in said])))
    assert same(tables(plain, frozen), tables(amended, frozen))
