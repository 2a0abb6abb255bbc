"""discounted_lines: the committed lines, with nothing but discounts added."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite
from expectations.suites._lines import same_lines

_UNCHANGED = (
    "amount",
    "commit_adjustment",
)


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    return same_lines(frame, related["committed_lines"], source="committed_lines", unchanged=_UNCHANGED)


SUITE = Suite("discounted_lines", related=("committed_lines",), crosses=_crosses)
