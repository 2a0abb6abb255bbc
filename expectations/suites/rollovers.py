"""rollovers: each unit once, under terms that exist."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite
from expectations.suites._lines import all_lines


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    return all_lines(frame, related["billing_terms"])


SUITE = Suite("rollovers", related=("billing_terms",), crosses=_crosses)
