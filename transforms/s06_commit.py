"""Stage 6, Commit: minimum and maximum spend, commitments. Put here: which lines they act on. Keep out: what a commitment comes to
(domain.commitment), coupons (Discount)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import polars as pl

from domain.commitment import LINES as COMMITMENT_LINES
from domain.commitment import Committed
from domain.money import allocate, prorate, round_money
from transforms.adjustments import carried_forward
from transforms.fees_ahead import OF_ANOTHER_BILL, charged_ahead
from transforms.frames import AMOUNT, COMMITTED_LINES
from transforms.spend_limits import beyond_limits
from transforms.terms import LINE_KEY, LINE_ORDER

_AGREED = ["month", "tenant_id", "subscription_id", "period_start", "active_start", "plan"]
"""A spend is agreed with a plan, for a subscription and a period; where the plan changes within it, for each stretch by itself."""
_STRETCH = ["active_start", "active_end", "period_end", "fee_ahead", "exponent", "rounding"]
_ADJUSTMENTS: dict[str, Any] = {"month": pl.String, "line_id": pl.String, "commit_adjustment": AMOUNT}


def commit(*, rated_lines: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """COMMITTED_LINES: the lines of a subscription and period that come to less than its minimum spend are topped up to it,
    those that come to more than its maximum are cut to it.

    A subscription that was live for a part of the period owes that part of the minimum, and pays at most that part of the
    maximum, by elapsed time, rounded once. The adjustment is shared out by amount, largest remainder, ties to the first line;
    where nothing was charged it stands on the first line. Before that, usage beyond the subscription's own limit in money is cut
    (transforms.spend_limits), so that bounds and commitments see what is billed. A fee in advance counts for the period it is for.
    What a commitment adds or takes stands on lines of its own. Lines with a problem are held, and left alone.
    """
    sound = rated_lines.filter(pl.col("problem").is_null())
    cuts = beyond_limits(sound, terms)
    left = (
        sound.join(cuts, on=LINE_KEY, how="left", maintain_order="left")
        .with_columns(pl.col("cut").fill_null(0))
        .with_columns(amount=pl.col("amount") + pl.col("cut"))
    )
    adjustments = _made(_bounds(left, terms))
    adjustments = pl.concat([adjustments, _made(_commitments(left, adjustments, terms))])
    committed = rated_lines.join(adjustments, on=LINE_KEY, how="left", maintain_order="left").join(
        cuts, on=LINE_KEY, how="left", maintain_order="left"
    )
    whole = pl.col("commit_adjustment").fill_null(0) + pl.col("cut").fill_null(0)
    lines = COMMITTED_LINES.conform(committed.with_columns(commit_adjustment=whole))
    return carried_forward(committed_lines=lines, terms=terms)


def _made(adjustments: Iterable[tuple[str, str, Decimal]]) -> pl.DataFrame:
    return pl.DataFrame(list(adjustments), schema=_ADJUSTMENTS, orient="row")


def _bounds(lines: pl.DataFrame, terms: pl.DataFrame) -> Iterator[tuple[str, str, Decimal]]:
    """(month, line_id, adjustment) of the lines that a minimum or maximum spend is about."""
    bounded = pl.col("minimum_spend").is_not_null() | pl.col("maximum_spend").is_not_null()
    agreed = terms.filter(bounded, ~OF_ANOTHER_BILL)
    own = lines.filter(~pl.col("model").is_in(COMMITMENT_LINES)).select(
        *LINE_KEY, "tenant_id", "subscription_id", "period_start", "line_order", "amount", "customer_id"
    )
    joined = own.join(
        agreed.select(*LINE_KEY, "plan", "minimum_spend", "maximum_spend", *_STRETCH),
        on=LINE_KEY,
        how="inner",
    )
    for _, group in joined.sort(LINE_ORDER).group_by(_AGREED):
        yield from _shares(group.rows(named=True))


def _commitments(
    lines: pl.DataFrame, adjustments: pl.DataFrame, terms: pl.DataFrame
) -> Iterator[tuple[str, str, Decimal]]:
    """(month, line_id, adjustment) of each line of a commitment. It sees charges after minimum and maximum spend."""
    agreed = terms.filter(pl.col("commitment").is_not_null(), ~OF_ANOTHER_BILL).select(
        *LINE_KEY, "plan", "commitment", *_STRETCH
    )
    charged = pl.col("amount") + pl.col("commit_adjustment").fill_null(0)
    group = ["month", "tenant_id", "subscription_id", "period_start", "plan", "commitment"]
    of_agreement = (
        lines.join(agreed, on=LINE_KEY, how="inner")
        .join(adjustments, on=LINE_KEY, how="left")
        .select(*group, "line_id", "line_type", "model", *_STRETCH, charged=charged)
    )
    for rows in of_agreement.sort(*group, "line_id").partition_by(group, maintain_order=True):
        own = rows.filter(pl.col("model").is_in(COMMITMENT_LINES))
        others = rows.filter(~pl.col("model").is_in(COMMITMENT_LINES)).to_dicts()
        first = rows.row(0, named=True)
        stretches = rows.unique("active_start").iter_rows(named=True)
        ahead = sum((charged_ahead(each) for each in stretches), Decimal(0))
        amounts = Committed.from_text(first["commitment"]).amounts(
            sum((row["charged"] for row in others), ahead),
            sum((row["charged"] for row in others if row["line_type"] == "USAGE_FEE"), Decimal(0)),
            exponent=first["exponent"],
            rounding=first["rounding"],
        )
        yield from (
            (first["month"], line, amounts[model])
            for line, model in own.select("line_id", "model").iter_rows()
        )


def _shares(lines: list[dict[str, Any]]) -> list[tuple[str, str, Decimal]]:
    """(month, line_id, adjustment) of each line of one subscription and stretch."""
    first = lines[0]
    amounts = [line["amount"] for line in lines]
    adjustment = _adjustment(sum(amounts, charged_ahead(first)), first)
    weights = [max(amount, Decimal(0)) for amount in amounts]
    if not any(weights):
        weights[0] = Decimal(1)
    shares = allocate(adjustment, weights, first["exponent"])
    return [(line["month"], line["line_id"], share) for line, share in zip(lines, shares, strict=True)]


def _adjustment(charged: Decimal, agreed: dict[str, Any]) -> Decimal:
    least, most = (_of_part(agreed[name], agreed) for name in ("minimum_spend", "maximum_spend"))
    if least is not None and charged < least:
        return least - charged
    if most is not None and charged > most:
        return most - charged
    return Decimal(0)


def _of_part(spend: Decimal | None, agreed: dict[str, Any]) -> Decimal | None:
    if spend is None:
        return None
    part = prorate(
        spend,
        agreed["active_end"] - agreed["active_start"],
        agreed["period_end"] - agreed["period_start"],
    )
    return round_money(part, agreed["exponent"], agreed["rounding"])
