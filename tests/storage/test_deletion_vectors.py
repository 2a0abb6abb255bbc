"""Some customers' rows replaced beside those of others: the files of the others stay, and no reader sees a row too many."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake

from storage import deletion_vectors
from storage.deletion_vectors import replace_rows, vector
from storage.lake import Lake
from storage.scope import Scope
from tests.transforms.billing_rows import term, terms

NAME, MONTH = "billing_terms", "2023-11"
ONE = terms(term(tenant_id="a", month=MONTH))


@pytest.fixture
def lake(lake_url: str) -> Lake:
    return Lake(lake_url)


def lines_of(customers: Iterable[str], mark: str, each: int = 1) -> pl.DataFrame:
    """`each` lines for each customer, named after the mark."""
    whose = pl.Series("customer_id", [who for who in customers for _ in range(each)], dtype=pl.String)
    lines = pl.format("{}-{}", pl.lit(mark), pl.int_range(pl.len()))
    return pl.concat([ONE.drop("customer_id", "line_id").clear(len(whose)), whose.to_frame()], how="horizontal").with_columns(
        *(pl.lit(ONE[name][0], dtype=ONE.schema[name]).alias(name) for name in ("tenant_id", "month", "kind", "due")),
        line_id=lines,
    )  # fmt: skip


def whose_lines(lake: Lake) -> dict[str, set[str]]:
    found = lake.scan(NAME).select("customer_id", "line_id").collect()
    assert found["line_id"].is_unique().all()
    return {who: set(lines) for who, lines in found.group_by("customer_id").agg("line_id").iter_rows()}


def replace(lake: Lake, state: dict[str, set[str]], rows: pl.DataFrame, some: Iterable[str]) -> None:
    """Replace, and keep account of what must be there then."""
    some = tuple(some)
    lake.replace(NAME, rows, Scope(MONTH, customers=some))
    for who in some:
        state.pop(who, None)
    for who, lines in rows.group_by("customer_id").agg("line_id").iter_rows():
        state[who] = set(lines)


def test_however_often_some_are_replaced_everybody_has_exactly_the_latest(lake: Lake) -> None:
    everybody = [f"c{n:04}" for n in range(400)]
    state: dict[str, set[str]] = {}
    # More rows than one bitmap block has, four times, so that the blocks' places are told.
    replace(lake, state, lines_of(everybody, "first", each=700), everybody)
    rnd = random.Random(20231101)
    for step in range(12):
        some = sorted(rnd.sample(everybody, rnd.choice([1, 20, 300])))
        replace(lake, state, lines_of(some[:-1] if step % 3 else some, f"s{step}", rnd.choice([1, 3])), some)
        if step == 4:
            opened(lake).create_checkpoint()
        if step == 8:
            lake.compact(NAME)
        assert whose_lines(lake) == state, step
        who = rnd.choice(everybody)
        asked = lake.scan(NAME, Scope(MONTH, customers=(who,))).collect()
        assert set(asked["line_id"]) == state.get(who, set()), step


def opened(lake: Lake) -> DeltaTable:
    table = lake.open(NAME)
    assert table is not None
    return table


def test_the_others_files_are_not_written_again(lake: Lake) -> None:
    lake.replace(NAME, lines_of(("1", "2"), "x"), Scope(MONTH))
    (before,) = opened(lake).file_uris()
    lake.replace(NAME, lines_of(("2",), "y"), Scope(MONTH, customers=("2",)))
    after = opened(lake).file_uris()
    assert before in after and len(after) == 2
    assert whose_lines(lake) == {"1": {"x-0"}, "2": {"y-0"}}


def test_delta_rs_own_engine_sees_what_polars_sees(lake: Lake) -> None:
    lake.replace(NAME, lines_of(("1", "2"), "x", each=3), Scope(MONTH))
    lake.replace(NAME, lines_of(("2",), "y"), Scope(MONTH, customers=("2",)))
    engine = QueryBuilder().register("terms", opened(lake))
    found = pl.DataFrame(engine.execute("SELECT line_id FROM terms ORDER BY line_id").read_all())
    assert found["line_id"].to_list() == ["x-0", "x-1", "x-2", "y-0"]


def test_a_file_whose_last_row_goes_is_gone_as_a_whole(lake: Lake) -> None:
    lake.replace(NAME, lines_of(("1",), "x"), Scope(MONTH))
    lake.replace(NAME, lines_of(("2",), "y"), Scope(MONTH, customers=("2",)))
    lake.replace(NAME, lines_of(("1",), "z"), Scope(MONTH, customers=("1",)))
    assert len(opened(lake).file_uris()) == 2
    assert whose_lines(lake) == {"1": {"z-0"}, "2": {"y-0"}}


def test_the_whole_month_again_leaves_nothing_of_what_lay_there(lake: Lake) -> None:
    lake.replace(NAME, lines_of(("1", "2"), "x"), Scope(MONTH))
    lake.replace(NAME, lines_of(("2",), "y"), Scope(MONTH, customers=("2",)))
    lake.replace(NAME, lines_of(("1",), "z"), Scope(MONTH))
    assert whose_lines(lake) == {"1": {"z-0"}}
    assert pl.DataFrame(opened(lake).deletion_vectors()).is_empty()


def test_what_comes_after_another_commit_changes_nothing(lake: Lake) -> None:
    lake.replace(NAME, lines_of(("1", "2"), "x"), Scope(MONTH))
    read = opened(lake)
    lake.replace(NAME, lines_of(("1",), "y"), Scope(MONTH, customers=("1",)))
    folder = Path(lake.path(NAME))
    log = sorted(folder.joinpath("_delta_log").iterdir())
    about: Mapping[str, object] = {"partition": {"month": MONTH}, "marker": "m", "said": {}}
    assert replace_rows(folder, read, pl.col("customer_id") == "2", [], **about) is None  # type: ignore[arg-type]
    assert sorted(folder.joinpath("_delta_log").iterdir()) == log
    assert whose_lines(lake) == {"1": {"y-0"}, "2": {"x-1"}}


def test_a_draft_that_a_killed_run_left_is_nothing_to_anybody(lake: Lake) -> None:
    lake.replace(NAME, lines_of(("1", "2"), "x"), Scope(MONTH))
    log = Path(lake.path(NAME)) / "_delta_log"
    (log / ".5f0c.json").write_text('{"remove": {"pa')
    lake.replace(NAME, lines_of(("1",), "y"), Scope(MONTH, customers=("1",)))
    assert whose_lines(lake) == {"1": {"y-0"}, "2": {"x-1"}}


def test_a_long_history_is_read_from_its_checkpoints(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, set[str]] = {}
    replace(lake, state, lines_of(("1", "2", "3"), "x", each=3), ("1", "2", "3"))
    monkeypatch.setattr(deletion_vectors, "CHECKPOINT_EVERY", 4)
    log = Path(lake.path(NAME)) / "_delta_log"
    for step in range(9):
        who = "123"[step % 3]
        replace(lake, state, lines_of((who,), f"s{step}", each=2), (who,))
        last = max(log.glob("*.checkpoint.parquet"), default=None)
        for entry in log.glob("0*.json"):
            if last and entry.name[:20] <= last.name[:20]:
                entry.unlink()  # as Delta tidies its log up
        assert whose_lines(lake) == state
    assert len(list(log.glob("*.checkpoint.parquet"))) == 2


def test_a_table_of_an_earlier_release_learns_to_lose_rows(lake: Lake) -> None:
    write_deltalake(lake.path(NAME), lines_of(("1", "2"), "x"), partition_by=["month"])
    lake.replace(NAME, lines_of(("2",), "y"), Scope(MONTH, customers=("2",)))
    assert whose_lines(lake) == {"1": {"x-0"}, "2": {"y-0"}}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        # magic 1681511377, one bitmap of 64 bits, numbered 0; cookie 12347 with one block of runs, marked as such; block 0 has
        # 1 + 0 rows; one run from row 0 on, of 0 rows more.
        ([0], "d1d33964 0100000000000000 00000000 3b300000 01 00000000 0100 00000000"),
        # Rows 5, 6, 7 and 9: four rows (one more than 3), two runs.
        ([5, 6, 7, 9], "d1d33964 0100000000000000 00000000 3b300000 01 00000300 0200 05000200 09000000"),
        # The run from 65,535 to 65,536 lies in two blocks.
        ([65_535, 65_536], "d1d33964 0100000000000000 00000000 3b300100 03 00000000 01000000 0100 ffff0000 0100 00000000"),
    ],
    ids=["one", "runs", "two-blocks"],
)  # fmt: skip
def test_vectors_are_written_as_the_protocol_says(rows: list[int], said: str) -> None:
    made = vector(pl.Series(rows))
    data = bytes.fromhex(said)
    assert made == {
        "storageType": "i",
        "pathOrInlineDv": deletion_vectors.base85(data),
        "sizeInBytes": len(data),
        "cardinality": len(rows),
    }


def test_base_85_is_that_of_its_rfc() -> None:
    # The example of ZeroMQ's RFC 32.
    assert deletion_vectors.base85(bytes.fromhex("864fd26fb559f75b")) == "HelloWorld"


def test_the_log_says_what_was_replaced(lake: Lake) -> None:
    lake.replace(NAME, lines_of(("1", "2"), "x"), Scope(MONTH))
    lake.replace(NAME, lines_of(("2",), "y"), Scope(MONTH, customers=("2",)))
    entry = Path(lake.path(NAME)) / "_delta_log" / f"{lake.version(NAME):020}.json"
    about = json.loads(entry.read_text().splitlines()[0])["commitInfo"]
    assert about["operationParameters"]["predicate"] == "month = '2023-11' AND customer_id IN ('2')"
