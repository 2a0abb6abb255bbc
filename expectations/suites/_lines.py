"""Facts that several line tables share. Put here: comparisons of two tables line by line. Keep out: single suites."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from expectations.suite import Cross


def same_lines(
    frame: pl.LazyFrame, before: pl.LazyFrame, *, source: str, unchanged: Sequence[str]
) -> list[Cross]:
    """No line lost, none added, and these columns as the stage before left them."""
    here, there = frame.select("line_id", *unchanged), before.select("line_id", *unchanged)
    return [
        Cross(
            "no_orphan_line", f"have no line that {source} lacks", here.join(there, on="line_id", how="anti")
        ),
        Cross("no_line_lost", f"have every line of {source}", there.join(here, on="line_id", how="anti")),
        Cross(
            "money_unchanged",
            f"have {', '.join(unchanged)} as in {source}",
            here.join(there, on=["line_id", *unchanged], how="anti", nulls_equal=True).join(
                there, on="line_id", how="semi"
            ),
        ),
    ]


def due_usage(terms: pl.LazyFrame) -> pl.LazyFrame:
    """The lines of usage that are billed with the month."""
    return terms.filter(pl.col("due"), pl.col("kind") == "USAGE")


def known_lines(frame: pl.LazyFrame, terms: pl.LazyFrame) -> Cross:
    """Every line is one of usage that is due under the month's terms."""
    return Cross(
        "no_orphan_line",
        "belong to a line of billing_terms that is due",
        frame.join(due_usage(terms), on="line_id", how="anti"),
    )


def all_lines(frame: pl.LazyFrame, terms: pl.LazyFrame) -> list[Cross]:
    """Every line of usage that is due under the month's terms, and no other."""
    due = due_usage(terms).select("line_id", "tenant_id", "customer_id", "unit")
    lost = due.join(frame, on="line_id", how="anti")
    return [known_lines(frame, terms), Cross("no_line_lost", "hold every line of usage that is due", lost)]
