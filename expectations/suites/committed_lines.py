"""committed_lines: the rated lines, with nothing but commitments added."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite
from expectations.suites._lines import same_lines

_UNCHANGED = (
    "unrounded",
    "amount",
)


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    return same_lines(frame, related["rated_lines"], source="rated_lines", unchanged=_UNCHANGED)


SUITE = Suite("committed_lines", related=("rated_lines",), crosses=_crosses)
