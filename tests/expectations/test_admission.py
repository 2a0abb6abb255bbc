"""What a gate decides of a table that breaks its suite: who is at fault is held and the others go on, or everybody waits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import polars as pl
import pytest

from expectations.admission import Admitted, GateClosed, admit, broken_facts
from expectations.catalogue import suite_of
from tests.expectations.month import good_month
from tests.expectations.test_suites import CASES
from transforms.frames import GATE_HOLDS, TABLES
from transforms.held_by_gate import LEFT_OUT, NOBODY

AFTER_INVOICES = ("invoices", "invoice_lines", "invoice_taxes")
OF_EVENTS = ("raw_events", "validated_events", "quarantined_events")
EVERYBODY = {
    ("billing_terms", "period_has_length"),
    ("billing_terms", "active_within_period"),
    ("billing_terms", "one_price_at_a_time"),
    ("routed_lines", "no_grant_overspent"),
}
"""Corruptions of all rows: nobody is without fault."""
HELD = [each for each in CASES if each[0] not in (*AFTER_INVOICES, *OF_EVENTS) and each[:2] not in EVERYBODY]
STOPS = [each for each in CASES if each[0] in AFTER_INVOICES or each[:2] in EVERYBODY]


def admitted(table: str, frame: pl.DataFrame) -> Admitted:
    related = {name: good_month()[name].lazy() for name in suite_of(table).related}
    return admit(table, frame.lazy(), related, judge=partial(broken_facts, table), before=NOBODY)


def named(cases: list[tuple[str, str, Callable[[pl.DataFrame], pl.DataFrame]]]) -> list[str]:
    return [f"{table}-{name}-{place}" for place, (table, name, _) in enumerate(cases)]


@pytest.mark.parametrize(("table", "name", "corrupt"), HELD, ids=named(HELD))
def test_who_is_at_fault_is_held_by_name_and_the_others_rows_stay_as_they_are(
    table: str, name: str, corrupt: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    good = good_month()[table]
    found = admitted(table, corrupt(good))
    held = found.people["customer_id"].to_list()
    assert held and set(held) < {"c1", "c2", "c3"}
    assert name in {fact.name for fact in found.broken}
    assert all(reason.startswith("GATE_FAILED: a ") for reason in found.people["reason"])
    rows = TABLES[table].conform(found.rows.collect())
    others, own = ~pl.col("customer_id").is_in(held), pl.col("customer_id").is_in(held)
    assert rows.filter(others).equals(corrupt(good).filter(others))
    mine = rows.filter(own)
    if table in LEFT_OUT:
        assert mine.is_empty()
    else:
        assert mine["problem"].str.contains("GATE_FAILED").all() and mine.height
    if table == "routed_lines":
        assert set(mine["destination"]) == {"HELD"}


@pytest.mark.parametrize(("table", "name", "corrupt"), STOPS, ids=named(STOPS))
def test_where_nobody_is_without_fault_or_invoices_are_written_everybody_waits(
    table: str, name: str, corrupt: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    with pytest.raises(GateClosed, match=name):
        admitted(table, corrupt(good_month()[table]))


def test_a_table_that_has_lost_its_shape_stops_everybody() -> None:
    with pytest.raises(GateClosed, match="columns_complete"):
        admitted("rated_lines", good_month()["rated_lines"].drop("amount"))


def test_a_row_of_nobody_stops_everybody() -> None:
    terms = good_month()["billing_terms"]
    nobody = terms.with_columns(customer_id=pl.when(pl.int_range(pl.len()) > 0).then("customer_id"))
    with pytest.raises(GateClosed, match="required_columns_filled"):
        admitted("billing_terms", nobody)


def test_whom_an_earlier_gate_left_out_is_not_missed_by_later_ones() -> None:
    month = good_month()
    c1 = pl.DataFrame([("acme", "c1", "GATE_FAILED: …")], schema=NOBODY.schema, orient="row")
    usage = month["usage_aggregates"].filter(pl.col("customer_id") != "c1")
    related = {name: month[name].lazy() for name in suite_of("usage_aggregates").related}
    judge = partial(broken_facts, "usage_aggregates")
    assert admit("usage_aggregates", usage.lazy(), related, judge=judge, before=c1).people.is_empty()
    assert admit("usage_aggregates", usage.lazy(), related, judge=judge, before=NOBODY).people.height == 1


def test_what_gates_keep_beside_the_tables_is_described_like_them() -> None:
    assert GATE_HOLDS.name not in TABLES
    assert set(NOBODY.schema) < set(GATE_HOLDS.schema)
