"""What the stages share about terms. Put here: picking the due ones, and what no stage can honour yet: it holds the customer.
Keep out: what the terms mean (each stage)."""

from __future__ import annotations

import polars as pl

from transforms.table import QUANTITY

LINE_KEY = ["month", "line_id"]
LINE_ORDER = ["month", "tenant_id", "customer_id", "subscription_id", "line_order", "line_id"]

HARD_CAP = pl.when(pl.col("cap_behavior").fill_null("BLOCK") != "CHARGE").then(pl.col("cap"))
"""On BILLING_TERMS: usage beyond this is not billed; null: all of it is."""


def with_carried(terms: pl.DataFrame, rollovers: pl.DataFrame | None) -> pl.DataFrame:
    """The terms with the units carried in (ROLLOVERS) among their free units, and in caps that grow by them; without any, as they
    are."""
    if rollovers is None or not rollovers["carried"].sum():
        return terms
    carried = rollovers.filter(pl.col("carried") > 0).select("line_id", "carried")
    joined = terms.join(carried, on="line_id", how="left", maintain_order="left")
    more = pl.col("carried").fill_null(0)
    cap = pl.when(pl.col("cap_carries").fill_null(False)).then(pl.col("cap") + more).otherwise("cap")
    return joined.with_columns(
        included_free=(pl.col("included_free") + more).cast(QUANTITY), cap=cap.cast(QUANTITY)
    ).drop("carried")


_USAGE = pl.col("kind") == "USAGE"
NOT_HONOURED: tuple[tuple[str, pl.Expr, pl.Expr], ...] = (
    # No longer written; a version published before may still say it.
    ("Rate", _USAGE & (pl.col("billing_timing") != "ARREARS"), pl.lit("charges in advance")),
    ("Rate", pl.col("unsupported").is_not_null(), pl.col("unsupported")),
)
"""(stage, which terms, what they ask for): terms that may be agreed, but not billed yet. Billing them as if they were not there
would be wrong, so Rate puts the problem on their lines and Route holds the customer; all others go on."""


def not_honoured() -> pl.Expr:
    """On BILLING_TERMS: why the line cannot be billed yet; null: it can."""
    of_plan = (pl.col("description"), pl.col("plan"), pl.col("plan_version"), pl.col("subscription_id"))
    sentences = [
        pl.when(where).then(
            pl.format(
                "TERMS_NOT_SUPPORTED: {} cannot honour {} yet: {} of plan {} v{} (subscription {})",
                pl.lit(stage),
                what,
                *of_plan,
            )
        )
        for stage, where, what in NOT_HONOURED
    ]
    return pl.coalesce(*sentences)


def due(terms: pl.DataFrame) -> pl.DataFrame:
    """The BILLING_TERMS rows whose period ends in the month, so that they are billed with it."""
    return terms.filter(pl.col("due"))
