"""The benchmark's two sides agree. Put here: claims about what is measured. Keep out: figures."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from benchmarks import data, pipeline, report


def test_the_same_arguments_make_the_same_events() -> None:
    assert data.raw_events(3_000, 20).equals(data.raw_events(3_000, 20))


def test_the_made_up_events_hold_duplicates_late_and_refused_ones() -> None:
    raw = data.raw_events(20_000, 20)
    late = raw.filter(pl.col("received_at") - pl.col("occurred_at") > pl.duration(hours=24))
    assert raw["idempotency_key"].n_unique() < raw.height
    assert late.height > 0
    assert set(raw["door"]) == {"ACCEPTED", "REJECTED"}


@pytest.mark.slow
def test_the_lineage_and_a_script_written_by_hand_come_to_the_same_total(tmp_path: Path) -> None:
    found = pipeline.measure(tmp_path, 4_000, 20, 1, lambda line: None)
    (ours,), (reference,) = found["pipeline"], found["reference"]
    assert (ours["total"], ours["metered"]) == (reference["total"], reference["kept"])
    assert "| `metered_events` |" in report.pipeline(found)
