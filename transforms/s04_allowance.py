"""Stage 4, Allowance: free units. Put here: their subtraction, here and nowhere else. Keep out: prices
(Rate)."""

from __future__ import annotations

import polars as pl

from domain.errors import PermanentFailure
from transforms.frames import ALLOWANCES
from transforms.terms import LINE_KEY, LINE_ORDER


class UsageWithoutTerms(PermanentFailure):
    """Usage was counted towards a line that no due term prices: dropping it would make it free."""

    code = "USAGE_WITHOUT_TERMS"

    def __init__(self, orphans: pl.DataFrame) -> None:
        first = orphans.row(0, named=True)
        super().__init__(
            f"{orphans.height} billable aggregates have no due terms, the first: "
            f"tenant {first['tenant_id']}, customer {first['customer_id']}, unit {first['unit']}, "
            f"line {first['line_id']} in {first['month']}. "
            "Rerun the month from billing_terms, so that aggregates and terms are of one making."
        )


def allowance(
    *, usage_aggregates: pl.DataFrame, rollovers: pl.DataFrame, terms: pl.DataFrame
) -> pl.DataFrame:
    """ALLOWANCES: for each BILLABLE aggregate, the free units used up and what is left to pay for, at least
    0.

    Free units are those of the terms plus those carried in. Raises `UsageWithoutTerms`.
    """
    billable = usage_aggregates.filter(pl.col("disposition") == "BILLABLE")
    orphans = billable.join(terms, on=LINE_KEY, how="anti")
    if not orphans.is_empty():
        raise UsageWithoutTerms(orphans)
    used = pl.when(pl.col("value") < 0).then(0).otherwise(pl.col("value"))
    free = pl.col("included_free") + pl.col("carried").fill_null(0)
    lines = (
        billable.join(terms.select(*LINE_KEY, "line_order", "included_free"), on=LINE_KEY, how="left")
        .join(rollovers.select(*LINE_KEY, "carried"), on=LINE_KEY, how="left")
        .with_columns(included=pl.min_horizontal(used.fill_null(0), free), used=used)
        .with_columns(billable=pl.col("used") - pl.col("included"))
    )
    return ALLOWANCES.conform(lines.sort(LINE_ORDER))
