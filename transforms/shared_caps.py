"""Hard caps of lines that share them. Put here: how much of a unit's cap each of its prices by dimension uses up, for metering and for
QuotaCheck alike. Keep out: what is beyond it (QuotaCheck), sharing free units (free_units).

The unit's usage counts in order of time, whichever line it is on, until the cap is reached. So each line has a cap of its own: its usage
until then. Cost: one sort of the events of such units.
"""

from __future__ import annotations

import polars as pl

from transforms.table import QUANTITY
from transforms.terms import HARD_CAP

_IN_TIME = ("occurred_at", "key_hash", "raw_seq")


def sharing_a_cap(terms: pl.DataFrame) -> pl.DataFrame:
    """The terms of lines that share a hard cap, with that one as `shared_cap`."""
    own = pl.col("dimension_value").is_null() & pl.col("free_pool").is_not_null()
    pools = terms.filter(own).select("free_pool", shared_cap=HARD_CAP).drop_nulls()
    return terms.join(pools, on="free_pool", how="inner", maintain_order="left")


def with_shared_caps(terms: pl.DataFrame, events: pl.LazyFrame) -> pl.DataFrame:
    """The terms with `shared_cap` (null: none), and as `cap` of the lines that share one what they use up of it.

    events: the billable ones of these lines at least: `line_id, occurred_at, key_hash, raw_seq, quantity`.
    """
    lines = sharing_a_cap(terms).select("line_id", "free_pool", "aggregation", "shared_cap")
    if lines.is_empty():
        return terms.with_columns(shared_cap=pl.lit(None, dtype=QUANTITY))
    counted = pl.when(pl.col("aggregation") == "COUNT").then(pl.lit(1, dtype=QUANTITY)).otherwise("quantity")
    within = pl.min_horizontal(pl.col("counted").cum_sum().over("free_pool"), "shared_cap")
    used = (
        events.select("line_id", *_IN_TIME, "quantity")
        .join(lines.lazy(), on="line_id", how="inner")
        .sort("free_pool", *_IN_TIME)
        .with_columns(counted=counted)
        .with_columns(within=within)
        .with_columns(step=pl.col("within") - pl.col("within").shift(1).over("free_pool").fill_null(0))
        .group_by("line_id")
        .agg(pl.col("step").sum())
        .collect()
    )
    nothing = pl.lit(0, dtype=QUANTITY)
    caps = lines.join(used, on="line_id", how="left").select(
        "line_id",
        "shared_cap",
        own_cap=pl.max_horizontal(pl.col("step").fill_null(0), nothing).cast(QUANTITY),
    )
    joined = terms.join(caps, on="line_id", how="left", maintain_order="left")
    return joined.with_columns(cap=pl.coalesce("own_cap", "cap")).drop("own_cap")
