"""Stage 2, Rollover: free units carried in from the period before. Put here: how many. Keep out: using them
up (Allowance), finding the period before (domain.terms)."""

from __future__ import annotations

import polars as pl

from transforms.frames import QUANTITY, ROLLOVERS
from transforms.terms import LINE_ORDER


def rollover(*, terms: pl.DataFrame, earlier_allowances: pl.DataFrame) -> pl.DataFrame:
    """ROLLOVERS: one row per due USAGE term; what its period before left unused, at most the cap.

    earlier_allowances: ALLOWANCES of the months the terms roll over from (`earlier_months`). Units carried in are used up first
    and lapse with the period. A period before that was not billed leaves it unknown what is carried in: a problem, not 0.
    """
    usage = terms.filter(pl.col("kind") == "USAGE").sort(LINE_ORDER)
    before = earlier_allowances.select(
        "tenant_id", rolls_from_month="month", rolls_from_line="line_id", unused="unused"
    )
    rows = usage.join(
        before, on=["tenant_id", "rolls_from_month", "rolls_from_line"], how="left", maintain_order="left"
    )
    unknown = pl.col("rolls_from_line").is_not_null() & pl.col("unused").is_null()
    problem = pl.format(
        "ROLLOVER_UNKNOWN: what {} of subscription {} carries over from {} is not known: bill {} first",
        "description",
        "subscription_id",
        "rolls_from_month",
        "rolls_from_month",
    )
    return ROLLOVERS.conform(
        rows.with_columns(
            carried=pl.when(pl.col("unused").is_not_null())
            .then(pl.min_horizontal("unused", "rollover_cap"))
            .otherwise(pl.lit(0, dtype=QUANTITY)),
            from_month=pl.col("rolls_from_month"),
            problem=pl.when(unknown).then(problem),
        )
    )


def earlier_months(terms: pl.DataFrame) -> list[str]:
    """The months (YYYY-MM) whose ALLOWANCES the due terms roll over from, in order."""
    found: list[str] = terms.filter("due")["rolls_from_month"].drop_nulls().unique().sort().to_list()
    return found
