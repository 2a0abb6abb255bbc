"""Stage 4, Allowance: free units. Put here: their subtraction, here and nowhere else. Keep out: prices
(Rate)."""

from __future__ import annotations

import polars as pl

from domain.errors import PermanentFailure
from transforms.bonus_units import concerned, cover
from transforms.frames import ALLOWANCES, QUANTITY
from transforms.free_units import shared_out
from transforms.table import BONUS_DRAWS
from transforms.terms import LINE_KEY, LINE_ORDER

_TERMS = ("line_order", "included_free", "free_pool", "rollover")
_NOTHING = pl.lit(0, dtype=QUANTITY)


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
    *,
    usage_aggregates: pl.DataFrame,
    rollovers: pl.DataFrame,
    terms: pl.DataFrame,
    metered_events: pl.LazyFrame | None = None,
    bonus_balances: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """ALLOWANCES: for each BILLABLE aggregate, the free units used up and what is left to pay for, at least
    0.

    Free units are those of the terms plus those carried in, which are used up first; lines of one unit share them
    (transforms.free_units). Bonus units of the customer's wallets (BONUS_BALANCES) cover what is left at the time of METERED_EVENTS.
    Usage beyond a hard cap uses up neither. Raises `UsageWithoutTerms`.
    """
    billable = usage_aggregates.filter(pl.col("disposition") == "BILLABLE")
    orphans = billable.join(terms, on=LINE_KEY, how="anti")
    if not orphans.is_empty():
        raise UsageWithoutTerms(orphans)
    counted = pl.col("value") - pl.col("beyond").fill_null(0)
    payable = pl.when(pl.col("value").is_not_null()).then(pl.max_horizontal(counted, _NOTHING))
    lines = shared_out(
        billable.join(terms.select(*LINE_KEY, *_TERMS), on=LINE_KEY, how="left")
        .join(rollovers.select(*LINE_KEY, "carried", "problem"), on=LINE_KEY, how="left")
        .with_columns(pl.col("carried").fill_null(0), used=payable.fill_null(0), payable=payable)
        .with_columns(free=pl.col("included_free") + pl.col("carried"))
    ).with_columns(included=pl.min_horizontal("used", "free"))
    bonus = _bonus(lines, terms, metered_events, bonus_balances)
    return ALLOWANCES.conform(
        lines.join(bonus, on="line_id", how="left", maintain_order="left")
        .with_columns(
            billable=pl.col("payable") - pl.col("included") - pl.col("bonus").fill_null(0),
            unused=_unused(),
        )
        .sort(LINE_ORDER)
    )


def _bonus(
    lines: pl.DataFrame,
    terms: pl.DataFrame,
    metered_events: pl.LazyFrame | None,
    bonus_balances: pl.DataFrame | None,
) -> pl.DataFrame:
    """`line_id, bonus, bonus_draws` of the lines that bonus units cover something of. lines: with the free units of each."""
    none = pl.DataFrame(schema={"line_id": pl.String, "bonus": QUANTITY, "bonus_draws": BONUS_DRAWS})
    mine = concerned(terms, bonus_balances)
    if mine.is_empty() or metered_events is None or bonus_balances is None:
        return none
    within = pl.when(pl.col("beyond").is_not_null()).then(pl.col("value") - pl.col("beyond"))
    agreed = mine.select("line_id").join(lines.select("line_id", "free", hard=within), on="line_id")
    counted = pl.min_horizontal("running_total", "hard")
    events = (
        metered_events.filter(
            pl.col("disposition") == "BILLABLE", pl.col("line_id").is_in(agreed["line_id"].implode())
        )
        .select("line_id", "occurred_at", "key_hash", "raw_seq", "running_total")
        .join(agreed.lazy(), on="line_id")
        .with_columns(left=pl.when(pl.col("running_total").is_not_null()).then(counted) - pl.col("free"))
        .drop("running_total", "hard", "free")
        .collect()
    )
    return pl.concat([none, cover(events, mine, bonus_balances).draws])


def _unused() -> pl.Expr:
    """What the next period may carry over: the period's own free units less those used up after the ones carried in."""
    pool = pl.coalesce("free_pool", "line_id")
    own_used = pl.max_horizontal(pl.col("included").sum().over(pool) - pl.col("carried"), _NOTHING)
    known = pl.col("rollover") & pl.col("problem").is_null()
    return pl.when(known).then(pl.col("included_free") - own_used)
