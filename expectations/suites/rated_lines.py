"""rated_lines: a line for every charge that is due, and what its events say it should come to."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from expectations.suite import Cross, Frames, Suite
from transforms.frames import EXACT


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    due = related["billing_terms"].filter("due").select("line_id", "dimension_value")
    used = related["usage_aggregates"].filter(pl.col("events") > 0).select("line_id")
    by_value = due.filter(pl.col("dimension_value").is_not_null()).join(used, on="line_id", how="semi")
    due = pl.concat([due.filter(pl.col("dimension_value").is_null()), by_value]).select("line_id")
    unpriced = related["usage_aggregates"].filter(pl.col("disposition") != "BILLABLE").select("line_id")
    expected = pl.concat([due, unpriced])
    lines = frame.select("line_id", "unit", "unrounded", "amount")
    return [
        Cross(
            "no_orphan_line",
            "have no line without terms or usage",
            lines.join(expected, on="line_id", how="anti"),
        ),
        Cross(
            "no_line_lost", "have a line for all that is due", expected.join(lines, on="line_id", how="anti")
        ),
        _rounded_once(frame, related["billing_terms"]),
        _events_add_up(frame, related["metered_events"]),
    ]


def _rounded_once(frame: pl.LazyFrame, terms: pl.LazyFrame) -> Cross:
    minor = pl.col("exponent").replace_strict(
        {n: Decimal(1).scaleb(-n) for n in range(5)}, return_dtype=EXACT
    )
    amount = pl.col("amount").cast(EXACT)
    # A converted line's charge is in the currency of its prices.
    same = pl.col("fx_rate").is_null()
    off = (same & ((amount - pl.col("unrounded")).abs() * 2 > minor)) | (amount % minor != 0)
    lines = frame.select("line_id", "unit", "unrounded", "amount", "fx_rate")
    return Cross(
        "rounded_to_the_minor_unit",
        "be a whole number of the currency's minor units, at most half of one from the unrounded charge",
        lines.join(terms.select("line_id", "exponent"), on="line_id", how="inner").filter(off),
    )


def _events_add_up(frame: pl.LazyFrame, metered: pl.LazyFrame) -> Cross:
    """Lines with a problem are left out: they are held, their charge is not known, whatever their events would earn."""
    marginal = (
        metered.filter(pl.col("disposition") == "BILLABLE")
        .group_by("line_id")
        .agg(
            marginal_revenue=pl.col("marginal_revenue").sum(),
            without_revenue=pl.col("marginal_revenue").null_count(),
        )
    )
    lines = frame.filter(pl.col("problem").is_null()).select("line_id", "unit", "unrounded", "amount")
    differs = (pl.col("unrounded") != pl.col("marginal_revenue")) | (pl.col("without_revenue") > 0)
    return Cross(
        "events_add_up",
        "come to the sum of its events' marginal revenue, exactly",
        lines.join(marginal, on="line_id", how="inner").filter(differs),
    )


SUITE = Suite(
    "rated_lines", related=("billing_terms", "usage_aggregates", "metered_events"), crosses=_crosses
)
