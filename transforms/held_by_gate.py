"""Customers whose rows break a gate. Put here: whose they are, and their lines as Route will hold them. Keep out: judging.

One customer's bad row must not keep all others from being billed. Their lines stay in the table, with the gate's words as their
problem and nothing charged, so that they are held by name like anyone who cannot be billed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from transforms.frames import AMOUNT, EXACT, TAXES, TEXT, TIER_CHARGES
from transforms.table import WALLET_PAYMENTS

_NOTHING = pl.lit(0, dtype=AMOUNT)
_NEUTRAL: Mapping[str, Mapping[str, pl.Expr]] = {
    "rated_lines": {
        "line_type": pl.lit("UNPRICED"),
        "unrounded": pl.lit(0, dtype=EXACT),
        "amount": _NOTHING,
        "tiers": pl.lit(None, dtype=TIER_CHARGES),
    },
    "committed_lines": {"commit_adjustment": _NOTHING},
    "discounted_lines": {"discount": _NOTHING},
    "taxed_lines": {
        "taxable": pl.col("amount") + pl.col("commit_adjustment") - pl.col("discount"),
        "tax": _NOTHING,
        "tax_included": pl.lit(None, dtype=AMOUNT),
        "taxes": pl.lit(None, dtype=TAXES),
    },
    "routed_lines": {
        "destination": pl.lit("HELD"),
        "invoice_id": pl.lit(None, dtype=TEXT),
        "wallet_amount": pl.lit(None, dtype=AMOUNT),
        "wallet_payments": pl.lit(None, dtype=WALLET_PAYMENTS),
    },
}
"""What each table of lines adds, as it is where nothing is charged, taxed or paid."""
_WHO = ["tenant_id", "customer_id"]


def at_fault(
    table: str, frame: pl.DataFrame, broken: Iterable[tuple[str, pl.LazyFrame | None]]
) -> pl.DataFrame | None:
    """`tenant_id, customer_id, reason` of those whose rows break the expectations; None where that does not explain all of it, or
    nobody is left without fault: then the table, not a customer, is wrong.

    broken: what rows must do, and those that do not.
    """
    if table not in _NEUTRAL:
        return None
    owners = frame.select("line_id", *_WHO).unique("line_id")
    found = []
    for says, failing in broken:
        rows = None if failing is None else failing.collect()
        if rows is None or "line_id" not in rows.columns:
            return None
        who = rows.select("line_id").join(owners, on="line_id", how="left").select(_WHO).unique()
        if who["customer_id"].null_count():
            return None
        reason = pl.lit(f"GATE_FAILED: a line of {table} does not {says}")
        found.append(who.with_columns(reason=reason))
    if not found:
        return None
    people = pl.concat(found).group_by(_WHO).agg(pl.col("reason").sort().str.join("; ")).sort(_WHO)
    return people if people.height < frame.select(_WHO).unique().height else None


def held(table: str, frame: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """The table with all lines of these people (see `at_fault`) as ones that cannot be billed."""
    marked = frame.join(people, on=_WHO, how="left", maintain_order="left")
    mine = pl.col("reason").is_not_null()
    said = pl.concat_str("problem", "reason", separator="; ", ignore_nulls=True)
    changed = {
        name: pl.when(mine).then(expr).otherwise(pl.col(name)).alias(name)
        for name, expr in _NEUTRAL[table].items()
    }
    if "hold_reason" in frame.columns:
        reasons = pl.concat_str("hold_reason", "reason", separator="; ", ignore_nulls=True)
        changed["hold_reason"] = pl.when(mine).then(reasons).otherwise("hold_reason").alias("hold_reason")
    return marked.with_columns(
        pl.when(mine).then(said).otherwise("problem").alias("problem"), *changed.values()
    ).drop("reason")
