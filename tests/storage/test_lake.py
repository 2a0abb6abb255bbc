"""The lake on real Delta tables: appending once, replacing a scope."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import write_deltalake

from storage.lake import Lake, LostRace, UnknownTable
from storage.scope import Scope
from tests.transforms.billing_rows import term, terms
from tests.transforms.event_rows import event, validated
from transforms.frames import BILLING_TERMS, VALIDATED_EVENTS

EVENTS = validated(*(event(term(), quantity) for quantity in range(4)))


@pytest.fixture
def lake(lake_url: str) -> Lake:
    return Lake(lake_url)


def quantities(lake: Lake) -> list[int]:
    return sorted(int(quantity) for quantity in lake.scan("validated_events").collect()["quantity"])


def test_a_table_nobody_wrote_is_empty_and_has_no_version(lake: Lake) -> None:
    assert lake.scan("validated_events").collect().equals(VALIDATED_EVENTS.empty())
    assert lake.version("validated_events") == -1


def test_an_unknown_table_is_refused_by_name(lake: Lake) -> None:
    with pytest.raises(UnknownTable, match=r"'nonsense' is not in the lake; it has .*raw_events"):
        lake.scan("nonsense")


def test_rows_come_back_as_they_went_in(lake: Lake) -> None:
    lake.cursor("validated_events").append(EVENTS, markers={"app": 1})
    found = lake.scan("validated_events").collect()
    assert found.sort("raw_seq").select(EVENTS.columns).equals(EVENTS)


def test_nested_columns_and_exact_decimals_come_back_as_they_went_in(lake: Lake) -> None:
    bands = [{"up_to": None, "unit_price": "0.000000000001", "flat_fee": "12345678901234567890.123456789012"}]
    frozen = terms(term(model="GRADUATED")).with_columns(
        tiers=pl.Series([bands], dtype=pl.List(pl.Struct(dict.fromkeys(bands[0], pl.String)))).cast(
            BILLING_TERMS.schema["tiers"]
        )
    )
    lake.replace("billing_terms", frozen, Scope("2023-11"))
    assert lake.scan("billing_terms").collect().select(frozen.columns).equals(frozen)


def test_a_cursor_knows_how_far_each_app_has_come(lake: Lake) -> None:
    cursor = lake.cursor("validated_events")
    assert cursor.marker("a") is None
    cursor.append(EVENTS[:1], markers={"a": 5, "b": 2**62})
    cursor.append(EVENTS[1:], markers={"a": 6})
    assert (cursor.marker("a"), cursor.marker("b")) == (6, 2**62)
    again = lake.cursor("validated_events")
    assert (again.marker("a"), again.marker("b")) == (6, 2**62)


def test_markers_outlive_checkpoints(lake: Lake) -> None:
    cursor = lake.cursor("validated_events")
    cursor.append(EVENTS[:1], markers={"early": 7})
    for position in range(25):
        cursor.append(EVENTS[:0], markers={"app": position})
    again = lake.cursor("validated_events")
    assert (again.marker("early"), again.marker("app"), quantities(lake)) == (7, 24, [0])


def test_of_two_runs_that_append_at_once_one_loses_and_writes_nothing(lake: Lake) -> None:
    winner, loser = lake.cursor("validated_events"), lake.cursor("validated_events")
    winner.append(EVENTS[:2], markers={"app": 2})
    with pytest.raises(LostRace, match="validated_events"):
        loser.append(EVENTS[:2], markers={"app": 2})
    assert quantities(lake) == [0, 1]
    assert lake.cursor("validated_events").marker("app") == 2


def test_a_run_that_shares_any_marker_with_the_winner_loses(lake: Lake) -> None:
    one, other = lake.cursor("validated_events"), lake.cursor("validated_events")
    one.append(EVENTS[:1], markers={"log:a": 1, "raw_seq": 1})
    with pytest.raises(LostRace):
        other.append(EVENTS[1:2], markers={"log:b": 1, "raw_seq": 1})
    assert quantities(lake) == [0]


def rows(lake: Lake) -> list[tuple[Any, ...]]:
    return (
        lake.scan("billing_terms")
        .select("month", "tenant_id", "customer_id", "line_id")
        .sort(pl.all())
        .collect()
        .rows()
    )


def month_of(*whose: tuple[str, str], month: str = "2023-11", mark: str = "") -> pl.DataFrame:
    return terms(*(term(tenant_id=t, customer_id=c, month=month, line_id=f"{t}{c}{mark}") for t, c in whose))


def test_a_rerun_replaces_its_month_and_no_other(lake: Lake) -> None:
    lake.replace("billing_terms", month_of(("a", "1")), Scope("2023-11"))
    lake.replace("billing_terms", month_of(("a", "1"), month="2023-12"), Scope("2023-12"))
    lake.replace("billing_terms", month_of(("a", "2")), Scope("2023-11"))
    assert rows(lake) == [("2023-11", "a", "2", "a2"), ("2023-12", "a", "1", "a1")]


@pytest.mark.parametrize(
    ("scope", "replaced"),
    [
        (Scope("2023-11", tenants=("a",)), {"a1", "a2"}),
        (Scope("2023-11", customers=("1",)), {"a1", "b1"}),
        (Scope("2023-11", ("a", "b"), ("2",)), {"a2"}),
    ],
    ids=["tenant", "customer", "both"],
)
def test_a_rerun_for_some_touches_only_theirs(lake: Lake, scope: Scope, replaced: set[str]) -> None:
    everyone = [("a", "1"), ("a", "2"), ("b", "1")]
    lake.replace("billing_terms", month_of(*everyone), Scope("2023-11"))
    mine = month_of(*everyone, mark="'").filter(pl.col("line_id").str.strip_chars("'").is_in(replaced))
    lake.replace("billing_terms", mine, scope)
    assert {line for *_, line in rows(lake)} == {f"{r}'" for r in replaced} | ({"a1", "a2", "b1"} - replaced)
    assert lake.scan("billing_terms", scope).collect().height == len(replaced)


def test_a_rerun_that_finds_nothing_leaves_nothing_of_its_scope(lake: Lake) -> None:
    lake.replace("billing_terms", month_of(("a", "1"), ("b", "1")), Scope("2023-11"))
    lake.replace("billing_terms", BILLING_TERMS.empty(), Scope("2023-11", tenants=("a",)))
    assert [tenant for _, tenant, *_ in rows(lake)] == ["b"]


def test_a_name_with_a_quote_is_a_name(lake: Lake) -> None:
    lake.replace("billing_terms", month_of(("o'hara", "1"), ("b", "1")), Scope("2023-11"))
    lake.replace("billing_terms", BILLING_TERMS.empty(), Scope("2023-11", tenants=("o'hara",)))
    assert [tenant for _, tenant, *_ in rows(lake)] == ["b"]


def test_nothing_is_replaced_without_a_month(lake: Lake) -> None:
    lake.replace("billing_terms", month_of(("a", "1")), Scope("2023-11"))
    with pytest.raises(ValueError, match="month"):
        lake.replace("billing_terms", BILLING_TERMS.empty(), Scope(tenants=("a",)))


def test_compacting_changes_files_and_no_row(lake: Lake) -> None:
    cursor = lake.cursor("validated_events")
    for place in range(4):
        cursor.append(EVENTS[place : place + 1], markers={"app": place})
    lake.compact("validated_events")
    table = lake.open("validated_events")
    assert table is not None and len(table.file_uris()) == 1
    assert quantities(lake) == [0, 1, 2, 3]
    assert lake.cursor("validated_events").marker("app") == 3


def test_of_two_reruns_of_one_scope_at_once_the_later_one_stands_alone(lake: Lake) -> None:
    lake.replace("billing_terms", month_of(("b", "1")), Scope("2023-11"))
    at_once = threading.Barrier(8)

    def rerun(number: int) -> None:
        at_once.wait()
        lake.replace(
            "billing_terms", month_of(("a", "1"), mark=f"-{number}"), Scope("2023-11", tenants=("a",))
        )

    with ThreadPoolExecutor(8) as threads:
        done = [threads.submit(rerun, number) for number in range(8)]
    lost = [each.exception() for each in done if each.exception()]
    assert all(isinstance(error, LostRace) for error in lost) and len(lost) < 8
    assert [tenant for _, tenant, *_ in rows(lake)] == ["a", "b"]


def test_reruns_for_different_tenants_at_once_both_stand(lake: Lake) -> None:
    at_once = threading.Barrier(2)

    def rerun(tenant: str) -> None:
        at_once.wait()
        lake.replace("billing_terms", month_of((tenant, "1")), Scope("2023-11", tenants=(tenant,)))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(rerun, ["a", "b"]))
    assert [tenant for _, tenant, *_ in rows(lake)] == ["a", "b"]


def test_a_cursor_that_was_overtaken_after_its_own_commit_loses_its_next(lake: Lake) -> None:
    mine = lake.cursor("validated_events")
    mine.append(EVENTS[:1], markers={"app": 1})
    lake.cursor("validated_events").append(EVENTS[1:2], markers={"app": 2})
    with pytest.raises(LostRace):
        mine.append(EVENTS[1:2], markers={"app": 2})
    assert quantities(lake) == [0, 1]


def test_a_table_of_an_earlier_release_gets_the_columns_described_since(lake: Lake) -> None:
    earlier = VALIDATED_EVENTS.empty().drop("backfill", "late")
    write_deltalake(lake.path("validated_events"), earlier, partition_by=["occurred_month"])
    lake.cursor("validated_events").append(EVENTS, markers={"app": 1})
    assert lake.scan("validated_events").select(EVENTS.columns).sort("raw_seq").collect().equals(EVENTS)


def test_readers_of_delta_find_rows_and_bounds_as_the_log_tells_them(lake: Lake) -> None:
    lake.cursor("validated_events").append(EVENTS, markers={"app": 1})
    table = lake.open("validated_events")
    assert table is not None
    told = pl.DataFrame(table.get_add_actions(flatten=True))
    assert told["num_records"].sum() == EVENTS.height
    assert told["max.raw_seq"].max() == EVENTS["raw_seq"].max()
    assert pl.DataFrame(table.to_pyarrow_table()).height == EVENTS.height


def test_parts_replace_the_month_as_a_whole_does(lake: Lake) -> None:
    lake.replace("billing_terms", month_of(("a", "9")), Scope("2023-11"))
    seen: list[pl.DataFrame] = []
    parts = (month_of(who) for who in (("a", "1"), ("b", "1")))
    lake.replace_parts("billing_terms", parts, Scope("2023-11"), lambda all_: seen.append(all_.collect()))
    assert rows(lake) == [("2023-11", "a", "1", "a1"), ("2023-11", "b", "1", "b1")]
    assert seen[0].sort("line_id").equals(month_of(("a", "1"), ("b", "1")))


def test_parts_for_some_tenants_leave_the_others_rows(lake: Lake) -> None:
    lake.replace("billing_terms", month_of(("a", "1"), ("b", "1")), Scope("2023-11"))
    parts = (month_of(who, mark="'") for who in (("a", "1"), ("a", "2")))
    lake.replace_parts("billing_terms", parts, Scope("2023-11", tenants=("a",)), lambda all_: None)
    assert {line for *_, line in rows(lake)} == {"a1'", "a2'", "b1"}


def test_parts_that_are_not_approved_or_break_off_leave_the_table_and_no_file(lake: Lake) -> None:
    lake.replace("billing_terms", month_of(("a", "1")), Scope("2023-11"))
    folder = Path(lake.path("billing_terms"))
    before = rows(lake), lake.version("billing_terms"), sorted(folder.rglob("*.parquet"))

    def refuse(all_: pl.LazyFrame) -> None:
        raise ValueError("no")

    def breaking() -> Iterator[pl.DataFrame]:
        yield month_of(("a", "2"))
        raise ValueError("no")

    for parts, approve in ((iter([month_of(("a", "2"))]), refuse), (breaking(), lambda all_: None)):
        with pytest.raises(ValueError, match="no"):
            lake.replace_parts("billing_terms", parts, Scope("2023-11"), approve)
        assert (rows(lake), lake.version("billing_terms"), sorted(folder.rglob("*.parquet"))) == before


def test_parts_of_no_rows_empty_the_month(lake: Lake) -> None:
    lake.replace("billing_terms", month_of(("a", "1")), Scope("2023-11"))
    lake.replace_parts("billing_terms", [BILLING_TERMS.empty()], Scope("2023-11"), lambda all_: None)
    assert rows(lake) == []
