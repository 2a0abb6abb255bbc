"""bonus_balances: each grant once, in one order of burning."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite


def _crosses(frame: pl.LazyFrame, _: Frames) -> list[Cross]:
    who = ["tenant_id", "customer_id", "unit"]
    places = frame.group_by(*who, "burn_order").agg(times=pl.len()).filter(pl.col("times") > 1)
    return [Cross("one_order_of_burning", "give each place in the order once per customer and unit", places)]


SUITE = Suite("bonus_balances", crosses=_crosses)
