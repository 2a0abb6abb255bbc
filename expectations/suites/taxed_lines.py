"""taxed_lines: the discounted lines, with nothing but taxes added."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite
from expectations.suites._lines import same_lines

_UNCHANGED = (
    "amount",
    "commit_adjustment",
    "discount",
)


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    return same_lines(frame, related["discounted_lines"], source="discounted_lines", unchanged=_UNCHANGED)


SUITE = Suite("taxed_lines", related=("discounted_lines",), crosses=_crosses)
