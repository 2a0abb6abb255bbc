"""allowances: the usage of stage 3, split into free and payable."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite
from expectations.suites._lines import same_lines


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    billed = related["usage_aggregates"].filter(pl.col("disposition") == "BILLABLE")
    return same_lines(frame, billed, source="usage_aggregates", unchanged=("value", "events"))


SUITE = Suite("allowances", related=("usage_aggregates",), crosses=_crosses)
