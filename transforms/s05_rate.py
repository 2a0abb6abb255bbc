"""Stage 5, Rate: what each unit and fee costs, rounded once. Put here: lines and their charge. Keep out: free
units (Allowance subtracts them), the price models themselves (charges), minimum spend, discounts, tax.

What cannot be priced becomes a line of 0.00 that says why; Route then holds that customer's invoice.
"""

from __future__ import annotations

from typing import Literal

import narwhals as nw
import polars as pl

from domain.money import UnknownRounding
from transforms.adjustment_lines import adjustment_lines
from transforms.charges import (
    TOO_MUCH,
    charge,
    own_charges_do_not_fit,
    price_columns,
    share_breakdown,
    tier_breakdown,
    tier_count,
    too_much,
)
from transforms.exchange import converted
from transforms.frames import AMOUNT, EXACT, QUANTITY, RATED_LINES, TEXT, TIER_CHARGES
from transforms.interim_lines import interim_lines
from transforms.proration import prorated
from transforms.table import BONUS_DRAWS
from transforms.terms import LINE_KEY, LINE_ORDER, not_honoured

UNPRICED_ORDER = 1_000_000
"""Unpriced usage stands after everything that has a price."""
_ROUNDING: dict[str, Literal["half_to_even", "half_away_from_zero"]] = {
    "HALF_EVEN": "half_to_even",
    "HALF_UP": "half_away_from_zero",
}
_FEE_LINES = {
    "BASE_FEE": "CHARGE",
    "ADVANCE_FEE": "CHARGE",
    "FEE_CREDIT": "PRORATION",
    "SETUP_FEE": "SETUP_FEE",
    "COMMITMENT": "CHARGE",
}
_ADDS_UP = ["COUNT", "SUM", "UNIQUE"]
_ZERO = pl.lit(0, dtype=EXACT)


def rate(*, allowances: pl.DataFrame, usage_aggregates: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """RATED_LINES: a line for each due term, used or not, and an UNPRICED one for each aggregate nothing
    prices.

    Lines whose terms cannot be honoured yet are UNPRICED with that problem. Raises `BadTiers`, `UnknownRounding`.
    """
    lines = [
        _usage_lines(allowances, terms),
        _fee_lines(terms),
        _finish(adjustment_lines(terms)),
        _finish(interim_lines(terms)),
        _unpriced_lines(usage_aggregates, terms),
    ]
    return pl.concat(lines).sort(LINE_ORDER, nulls_last=True)


def _usage_lines(allowances: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """One line per USAGE term; of prices by dimension those that were used. Sums are 0 without usage; a maximum, say, has no
    value."""
    used = allowances.select(
        *LINE_KEY,
        "events",
        "value",
        "included",
        "bonus",
        "bonus_draws",
        "billable",
        "event_charges",
        "beyond",
        "problem",
    )
    zero = pl.when(pl.col("aggregation").is_in(_ADDS_UP)).then(pl.lit(0, dtype=QUANTITY))
    lines = (
        prorated(terms.filter(pl.col("kind") == "USAGE"))
        .join(used, on=LINE_KEY, how="left", suffix="_of_usage")
        .with_columns(
            pl.coalesce("problem", "problem_of_usage").alias("problem"),
            pl.col("events").fill_null(0),
            pl.col("billable").fill_null(zero),
            included=(pl.col("included") + pl.col("bonus").fill_null(0)).fill_null(zero),
            description=_with_bonus(_with_blocked()),
            quantity=pl.col("value").fill_null(zero),
            line_type=pl.lit("USAGE_FEE"),
        )
        .filter(pl.col("dimension_value").is_null() | (pl.col("events") > 0))
    )
    tiers = tier_count(lines)
    priced = (
        nw.from_native(price_columns(lines))
        .with_columns(
            charge=charge(nw.col("billable"), nw.col("event_charges"), tiers),
            too_much=too_much(nw.col("billable"), tiers).fill_null(False),
        )
        .to_native()
        .with_columns(too_much=pl.col("too_much") | own_charges_do_not_fit())
    )
    fitting = lines.join(priced.filter("too_much").select(LINE_KEY), on=LINE_KEY, how="anti")
    bands = pl.concat([tier_breakdown(fitting), share_breakdown(fitting)])
    return _finish(
        _without_too_much(priced.drop("tiers"))
        .join(bands, on=LINE_KEY, how="left")
        .rename({"bands": "tiers"})
    )


def _without_too_much(priced: pl.DataFrame) -> pl.DataFrame:
    """Lines whose charge is too much for an amount say so, and charge nothing: Route holds their customer."""
    said = pl.format(
        "CHARGE_TOO_LARGE: {} of plan {} v{} (subscription {}): {} units cost 10^17 {} or more, which no line can carry; "
        "void the wrong usage or correct the price",
        "description", "plan", "plan_version", "subscription_id", "billable", "currency",
    )  # fmt: skip
    return priced.with_columns(
        charge=pl.when("too_much").then(_ZERO).otherwise("charge"),
        problem=pl.when("too_much").then(said).otherwise("problem"),
    )


def _fee_lines(terms: pl.DataFrame) -> pl.DataFrame:
    """One line per fee: for the part of the period the subscription was live, in advance or once in full; or back, for the part
    of a period paid in advance in which it was not; one of 0.00 for each thing a commitment may add or
    take, which Commit adjusts."""
    fees = terms.filter(pl.col("kind").is_in(list(_FEE_LINES))).with_columns(
        full=pl.col("flat_amount").cast(EXACT)
    )
    part = prorated(fees)
    nothing = pl.lit(None, dtype=QUANTITY)
    kind = pl.col("kind")
    return _finish(
        part.with_columns(
            charge=pl.when(kind == "BASE_FEE")
            .then("flat_amount")
            .when(kind == "FEE_CREDIT")
            .then(pl.col("flat_amount") - pl.col("full"))
            .otherwise("full"),
            line_type=kind.replace_strict(_FEE_LINES, return_dtype=TEXT),
            events=pl.lit(0),
            quantity=nothing,
            included=nothing,
            billable=nothing,
            tiers=pl.lit(None, dtype=TIER_CHARGES),
        )
    )


def _with_blocked() -> pl.Expr:
    """What the line says, with what a cap kept off the bill; where usage is to be ignored, nothing is said."""
    parts = (pl.col("beyond"), pl.col("value") - pl.col("beyond"))
    beyond, limit = (part.cast(TEXT).str.replace(r"\.?0+$", "") for part in parts)
    blocked = (pl.col("beyond").fill_null(0) > 0) & (pl.col("cap_behavior").fill_null("BLOCK") == "BLOCK")
    alone = pl.format("{}, {} beyond the limit of {} not charged", "description", beyond, limit)
    shared = pl.format("{}, {} beyond the unit's limit not charged", "description", beyond)
    said = pl.when(pl.col("free_pool").is_null()).then(alone).otherwise(shared)
    return pl.when(blocked).then(said).otherwise("description")


def _with_bonus(said: pl.Expr) -> pl.Expr:
    """What the line says, with how many of its free units came from the customer's wallets."""
    units = pl.col("bonus").cast(TEXT).str.replace(r"\.?0+$", "")
    return (
        pl.when(pl.col("bonus") > 0).then(pl.format("{}, {} bonus units used", said, units)).otherwise(said)
    )


def _unpriced_lines(usage_aggregates: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """One line of 0.00 per aggregate that no subscription or no price covers, saying which."""
    lines = usage_aggregates.filter(pl.col("disposition") != "BILLABLE").join(
        _plans(terms), on=["tenant_id", "customer_id"], how="left"
    )
    used = pl.format(
        "unit {} used by customer {} from {} to {}",
        "unit",
        "customer_id",
        *(pl.col(at).dt.strftime("%Y-%m-%dT%H:%M:%SZ").fill_null("?") for at in ("first_at", "last_at")),
    )
    no_price = pl.format("NO_PRICE: {} is not priced by {}", used, pl.col("plans").fill_null("any due plan"))
    no_subscription = pl.format("NO_SUBSCRIPTION: {} is covered by no subscription", used)
    nothing = (
        "model",
        "period_start",
        "period_end",
        "included",
        "billable",
        "currency",
        "tiers",
        "price_currency",
        "fx_rate",
        "bonus_draws",
    )
    return RATED_LINES.conform(
        lines.with_columns(
            line_order=pl.lit(UNPRICED_ORDER),
            line_type=pl.lit("UNPRICED"),
            description=pl.format("Unpriced usage: {}", "unit"),
            quantity=pl.col("value"),
            unrounded=_ZERO,
            amount=pl.lit(0),
            problem=pl.when(pl.col("disposition") == "NO_PRICE").then(no_price).otherwise(no_subscription),
            **{name: pl.lit(None, dtype=RATED_LINES.schema[name]) for name in nothing},
        )
    )


def _plans(terms: pl.DataFrame) -> pl.DataFrame:
    """(tenant_id, customer_id, plans): the customer's plans, as people would name them."""
    plan = pl.format("plan {} v{} (subscription {})", "plan", "plan_version", "subscription_id")
    return terms.group_by("tenant_id", "customer_id").agg(plans=plan.unique().sort().str.join(", "))


def _finish(lines: pl.DataFrame) -> pl.DataFrame:
    """Lines with a `charge` as RATED_LINES: the problem if there is one, and otherwise the charge, rounded
    once."""
    problem = _problem()
    if "bonus_draws" not in lines.columns:
        lines = lines.with_columns(bonus_draws=pl.lit(None, dtype=BONUS_DRAWS))
    rated = (
        lines.with_columns(problem=problem)
        .with_columns(
            unrounded=pl.when(pl.col("problem").is_null()).then(pl.col("charge")).otherwise(_ZERO),
            line_type=pl.when(pl.col("problem").is_null()).then("line_type").otherwise(pl.lit("UNPRICED")),
        )
        .with_columns(amount=_rounded(lines).cast(AMOUNT))
    )
    return RATED_LINES.conform(_fitting(converted(rated)))


def _fitting(lines: pl.DataFrame) -> pl.DataFrame:
    """What comes to too much only in the currency of the invoice is held as well."""
    over = pl.col("fx_rate").is_not_null() & (pl.col("amount").abs() >= TOO_MUCH)
    if not lines.select(over.any()).item():
        return lines
    said = pl.format("CHARGE_TOO_LARGE: {} comes to 10^17 {} or more", "description", "currency")
    return lines.with_columns(
        amount=pl.when(over).then(pl.lit(0, dtype=AMOUNT)).otherwise("amount"),
        unrounded=pl.when(over).then(_ZERO).otherwise("unrounded"),
        line_type=pl.when(over).then(pl.lit("UNPRICED")).otherwise("line_type"),
        problem=pl.when(over).then(said).otherwise("problem"),
    )


def _problem() -> pl.Expr:
    of_plan = (pl.col("description"), pl.col("plan"), pl.col("plan_version"))
    no_price = pl.format(
        "NO_PRICE: {} of plan {} v{} has model {} but not its price", *of_plan, pl.col("model")
    )
    return (
        pl.when(pl.col("charge").is_null())
        .then(no_price)
        .when(pl.col("problem").is_not_null())
        .then(pl.col("problem"))
        .when(not_honoured().is_not_null())
        .then(not_honoured())
        .otherwise("problem")
    )


def _rounded(lines: pl.DataFrame) -> pl.Expr:
    """`unrounded` to each row's own `exponent` in its own `rounding` mode."""
    amount = pl.lit(None, dtype=EXACT)
    for exponent, mode in (
        lines.select("exponent", "rounding").unique().sort("exponent", "rounding").iter_rows()
    ):
        if mode not in _ROUNDING:
            raise UnknownRounding(mode)
        of_this_kind = (pl.col("exponent") == exponent) & (pl.col("rounding") == mode)
        rounded = pl.col("unrounded").round(exponent, mode=_ROUNDING[mode])
        amount = pl.when(of_this_kind).then(rounded).otherwise(amount)
    return amount
