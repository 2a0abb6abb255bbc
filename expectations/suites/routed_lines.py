"""routed_lines: the taxed lines, each with a place to go."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite
from expectations.suites._lines import same_lines

_UNCHANGED = (
    "amount",
    "commit_adjustment",
    "discount",
    "tax",
)


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    return same_lines(frame, related["taxed_lines"], source="taxed_lines", unchanged=_UNCHANGED)


SUITE = Suite("routed_lines", related=("taxed_lines",), crosses=_crosses)
