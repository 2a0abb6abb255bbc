"""Raw events into the validated and quarantined tables, each exactly once, whatever dies on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.increments import MARKER, STRETCH, Increment, Standing, increments
from storage.lake import Lake, LostRace
from tests.transforms.event_rows import gated, raw_event, raws
from transforms.gate import gate

HALVES = ("validated_events", "quarantined_events")
ROWS = [
    raw_event("a"), raw_event("b", 2), raw_event("a"), raw_event("b", 3), raw_event("c", -1), raw_event("d", key_hash=7),
    raw_event("e", key_hash=7), raw_event("a"), raw_event("f", tenant_id="other"), raw_event("f"), raw_event("e", key_hash=7),
]  # fmt: skip


@pytest.fixture
def lake(lake_url: str) -> Lake:
    return Lake(lake_url)


def arrive(lake: Lake, *rows: dict[str, Any]) -> None:
    cursor = lake.cursor("raw_events")
    seen = cursor.marker("raw_seq") or 0
    cursor.append(raws(*rows, first=seen + 1), markers={"raw_seq": seen + len(rows)})


def settle(lake: Lake, *, batch: int = 100) -> int:
    """All that is new through the gates; how many batches that took."""
    batches = 0
    for increment in increments(lake, batch=batch):
        increment.commit(*gate(increment.raw, standing_keys=increment.standing_keys))
        batches += 1
    return batches


def tables(lake: Lake) -> list[pl.DataFrame]:
    return [lake.scan(name).collect().sort("raw_seq") for name in HALVES]


def expected(*rows: dict[str, Any]) -> list[pl.DataFrame]:
    return [half.sort("raw_seq") for half in gated(raws(*rows))]


def same(found: list[pl.DataFrame], wanted: list[pl.DataFrame]) -> bool:
    return all(f.select(w.columns).equals(w) for f, w in zip(found, wanted, strict=True))


def test_what_arrived_is_split_into_the_two_tables(lake: Lake) -> None:
    arrive(lake, *ROWS)
    assert settle(lake) == 1
    assert same(tables(lake), expected(*ROWS))


def test_nothing_new_writes_nothing(lake: Lake) -> None:
    arrive(lake, *ROWS)
    settle(lake)
    versions = [lake.version(name) for name in HALVES]
    assert settle(lake) == 0
    assert [lake.version(name) for name in HALVES] == versions


def test_an_empty_lake_has_nothing_to_do(lake: Lake) -> None:
    assert settle(lake) == 0


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_small_batches_decide_as_one_large_one(lake: Lake, batch: int) -> None:
    arrive(lake, *ROWS)
    assert settle(lake, batch=batch) == -(-len(ROWS) // batch)
    assert same(tables(lake), expected(*ROWS))


def test_a_key_is_found_again_in_a_later_run(lake: Lake) -> None:
    for row in ROWS:
        arrive(lake, row)
        settle(lake)
    assert same(tables(lake), expected(*ROWS))


def commit_one(increment: Increment, name: str) -> None:
    """What is left of a run that dies between its two commits."""
    halves = dict(zip(HALVES, gate(increment.raw, standing_keys=increment.standing_keys), strict=True))
    cursor = {"validated_events": increment.validated, "quarantined_events": increment.quarantined}[name]
    cursor.append(halves[name], markers={MARKER: increment.last})


@pytest.mark.parametrize("survivor", HALVES)
@pytest.mark.parametrize("batch", [3, 100])
def test_a_run_that_died_between_its_two_commits_is_completed_by_the_next(
    lake: Lake, survivor: str, batch: int
) -> None:
    arrive(lake, *ROWS[:6])
    settle(lake, batch=2)
    arrive(lake, *ROWS[6:])
    commit_one(next(increments(lake)), survivor)
    arrive(lake, raw_event("a"), raw_event("z"))
    settle(lake, batch=batch)
    assert same(tables(lake), expected(*ROWS, raw_event("a"), raw_event("z")))


def test_a_run_that_died_before_its_first_commit_left_nothing(lake: Lake) -> None:
    arrive(lake, *ROWS)
    died = next(increments(lake))
    gate(died.raw, standing_keys=died.standing_keys)
    assert all(table.is_empty() for table in tables(lake))
    settle(lake)
    assert same(tables(lake), expected(*ROWS))


def test_of_two_runs_at_once_one_loses_and_nothing_is_doubled(lake: Lake) -> None:
    arrive(lake, *ROWS)
    slow = next(increments(lake))
    decided = gate(slow.raw, standing_keys=slow.standing_keys)
    settle(lake)
    with pytest.raises(LostRace):
        slow.commit(*decided)
    assert same(tables(lake), expected(*ROWS))


def test_standing_keys_are_those_from_before_the_batch(lake: Lake) -> None:
    arrive(lake, raw_event("a"), raw_event("b"))
    settle(lake)
    arrive(lake, raw_event("a"))
    increment = next(increments(lake))
    assert increment.standing_keys(increment.raw["key_hash"])["raw_seq"].to_list() == [1]
    assert Standing(lake, 1, 3).among(increment.raw["key_hash"]).is_empty()


def test_batches_that_look_the_history_through_more_often_decide_alike(lake: Lake) -> None:
    arrive(lake, *ROWS)
    for increment in increments(lake, batch=2, most_bytes=0):
        increment.commit(*gate(increment.raw, standing_keys=increment.standing_keys))
    assert same(tables(lake), expected(*ROWS))


def test_a_key_of_an_earlier_stretch_is_found_again(lake: Lake) -> None:
    many = [raw_event(f"k{n}") for n in range(2 * STRETCH)]
    arrive(lake, *many, *many)
    assert settle(lake, batch=1) == 4 * STRETCH
    assert same(tables(lake), expected(*many, *many))


def test_a_batch_that_cannot_be_read_stops_the_run_after_those_before_it(lake: Lake, lake_url: str) -> None:
    for part in (ROWS[:6], ROWS[6:]):
        before = set(Path(lake_url).glob("raw_events/**/*.parquet"))
        arrive(lake, *part)
    (latest,) = set(Path(lake_url).glob("raw_events/**/*.parquet")) - before
    hidden = latest.rename(latest.with_suffix(".gone"))
    with pytest.raises(FileNotFoundError):
        settle(lake, batch=6)
    assert same(tables(lake), expected(*ROWS[:6]))
    hidden.rename(latest)
    settle(lake, batch=6)
    assert same(tables(lake), expected(*ROWS))


deaths = st.lists(st.tuples(st.integers(1, 5), st.sampled_from([None, *HALVES])), min_size=1, max_size=6)


@settings(max_examples=8, deadline=None)
@given(deaths)
def test_whenever_runs_die_the_tables_end_up_the_same(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[int, str | None]]
) -> None:
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    arrive(lake, *ROWS)
    for batch, survivor in story:
        for increment in increments(lake, batch=batch):
            if survivor is not None:
                marker = {
                    "validated_events": increment.validated,
                    "quarantined_events": increment.quarantined,
                }
                if (marker[survivor].marker(MARKER) or 0) < increment.first:
                    commit_one(increment, survivor)
                break
            increment.commit(*gate(increment.raw, standing_keys=increment.standing_keys))
    settle(lake)
    assert same(tables(lake), expected(*ROWS))
