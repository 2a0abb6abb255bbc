"""Limits in money: what of a subscription's usage lies beyond them. Put here: the cut of each line. Keep out: limits in units
(QuotaCheck), a plan's minimum and maximum spend (Commit, which sees what is left here)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from domain.money import allocate, prorate, round_money
from transforms.frames import AMOUNT
from transforms.terms import LINE_KEY, LINE_ORDER

_PERIOD = ["month", "tenant_id", "subscription_id", "period_start"]
_SCHEMA: dict[str, Any] = {"month": pl.String, "line_id": pl.String, "cut": AMOUNT}
_ZERO = Decimal(0)


def beyond_limits(rated_lines: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """`month, line_id, cut` of the lines that a limit in money cuts; cut: below 0.

    All usage of a subscription's period counts together, across plans and stretches. A subscription that was live for a part of the
    period has that part of the limit, by elapsed time, rounded once. What is beyond is shared out by amount, largest remainder,
    ties to the first line.
    """
    limited = terms.filter((pl.col("kind") == "USAGE") & pl.col("spend_limit").is_not_null())
    if limited.is_empty():
        return pl.DataFrame(schema=_SCHEMA)
    usage = rated_lines.select(*LINE_KEY, "amount").join(limited, on=LINE_KEY, how="inner").sort(LINE_ORDER)
    live = {tuple(key): _live(rows) for key, rows in limited.partition_by(_PERIOD, as_dict=True).items()}
    cuts = [
        cut
        for key, lines in usage.partition_by(_PERIOD, as_dict=True, maintain_order=True).items()
        for cut in _cuts(lines.to_dicts(), live[tuple(key)])
    ]
    return pl.DataFrame(cuts, schema=_SCHEMA, orient="row")


def _live(rows: pl.DataFrame) -> timedelta:
    """For how long of a period a subscription was live, in however many stretches."""
    stretches = set(rows.select("active_start", "active_end").iter_rows())
    return sum((end - start for start, end in stretches), timedelta())


def _cuts(lines: list[dict[str, Any]], live: timedelta) -> Iterator[tuple[str, str, Decimal]]:
    """(month, line_id, cut) of the lines of one subscription and period."""
    first = lines[0]
    part = prorate(first["spend_limit"], live, first["period_end"] - first["period_start"])
    beyond = sum((line["amount"] for line in lines), _ZERO) - round_money(
        part, first["exponent"], first["rounding"]
    )
    if beyond <= 0:
        return
    shares = allocate(-beyond, [max(line["amount"], _ZERO) for line in lines], first["exponent"])
    yield from (
        (line["month"], line["line_id"], share) for line, share in zip(lines, shares, strict=True) if share
    )
