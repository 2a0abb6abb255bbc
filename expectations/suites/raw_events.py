"""raw_events: everything that arrived, in one unbroken sequence."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite


def _crosses(frame: pl.LazyFrame, _: Frames) -> list[Cross]:
    span = frame.select(first=pl.col("raw_seq").min(), last=pl.col("raw_seq").max(), rows=pl.len())
    broken = span.filter(pl.col("last") - pl.col("first") + 1 != pl.col("rows"))
    return [Cross("sequence_unbroken", "number its rows without a gap", broken)]


SUITE = Suite("raw_events", crosses=_crosses)
