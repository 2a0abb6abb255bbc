"""metered_events: each event once, with a line that exists."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite
from expectations.suites._lines import known_lines


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    billable = (
        frame.filter(pl.col("disposition") == "BILLABLE")
        .select("line_id", "raw_seq", "unit")
        .unique("line_id")
    )
    return [known_lines(billable, related["billing_terms"])]


SUITE = Suite("metered_events", related=("billing_terms",), crosses=_crosses)
