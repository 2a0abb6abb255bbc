"""Stage 7, Discount: coupons. Put here: which lines they act on, line by line. Keep out: the arithmetic
(domain.coupon), which coupons apply (terms)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from domain.coupon import Discount, line_discounts
from transforms.frames import DISCOUNTED_LINES
from transforms.interim_lines import IS_INTERIM
from transforms.terms import LINE_KEY, LINE_ORDER

_PERIOD = ["month", "tenant_id", "subscription_id", "period_start", "period_end", "currency"]


_AS_CHARGED = IS_INTERIM | (pl.col("kind") == "FEE_CREDIT")
"""What was billed before goes back as it was charged then, after discounts: no coupon acts on it."""


def discount(*, committed_lines: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """DISCOUNTED_LINES: a subscription's coupons act, in order of attachment, on what its period comes to, and each one's
    discount is shared out among the lines exactly. A coupon in another currency takes nothing off by guess: its lines get
    a problem."""
    found = list(_discounts(committed_lines, terms))
    made = pl.DataFrame(
        found, schema={name: DISCOUNTED_LINES.schema[name] for name in (*LINE_KEY, "discount", "problem")}
    )
    lines = committed_lines.join(
        made, on=LINE_KEY, how="left", suffix="_of_coupon", maintain_order="left", nulls_equal=True
    )
    return DISCOUNTED_LINES.conform(
        lines.with_columns(
            pl.col("discount").fill_null(0), pl.coalesce("problem", "problem_of_coupon").alias("problem")
        )
    )


def _discounts(lines: pl.DataFrame, terms: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """What coupons take off each line of the periods they act on, or why they cannot."""
    attached = (
        terms.filter(pl.col("coupons").list.len() > 0, ~_AS_CHARGED)
        .sort(LINE_ORDER)
        .unique(_PERIOD, keep="first", maintain_order=True)
        .select(*_PERIOD, "coupons", "exponent", "rounding")
    )
    own = lines.join(terms.filter(_AS_CHARGED), on=LINE_KEY, how="anti")
    discounted = own.sort(LINE_ORDER).join(attached, on=_PERIOD, how="inner", maintain_order="left")
    for group in discounted.partition_by(_PERIOD, maintain_order=True):
        rows = group.to_dicts()
        coupons = [Discount.from_text(text) for text in rows[0]["coupons"]]
        problem = _foreign(coupons, rows[0])
        amounts = [row["amount"] + row["commit_adjustment"] for row in rows]
        taken = line_discounts(
            amounts,
            [] if problem else coupons,
            exponent=rows[0]["exponent"],
            rounding=rows[0]["rounding"],
        )
        for row, amount in zip(rows, taken, strict=True):
            yield {**{name: row[name] for name in LINE_KEY}, "discount": amount, "problem": problem}


def _foreign(coupons: list[Discount], line: dict[str, Any]) -> str | None:
    for coupon in coupons:
        if coupon.currency is not None and coupon.currency != line["currency"]:
            return (
                f"COUPON_CURRENCY: coupon {coupon.code} takes off {coupon.currency}, but subscription "
                f"{line['subscription_id']} is billed in {line['currency']}"
            )
    return None
