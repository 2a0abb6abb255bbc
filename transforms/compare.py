"""A month worked out again, line by line beside what was billed. Put here: what differs and by how much. Keep out: reading either,
what follows from a difference."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256

import polars as pl

from transforms.table import AMOUNT, INSTANT, QUANTITY, TEXT, WHOLE

_WHO = ["tenant_id", "line_id"]
_COMPARED = ("events", "quantity", "billable", "amount", "commit_adjustment", "discount", "taxable", "tax")
_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "events": WHOLE, "quantity": QUANTITY, "billable": QUANTITY, "amount": AMOUNT, "commit_adjustment": AMOUNT,
    "discount": AMOUNT, "taxable": AMOUNT, "tax": AMOUNT, "tax_included": AMOUNT,
}  # fmt: skip
_ABOUT: dict[str, pl.DataType | type[pl.DataType]] = {
    "customer_id": TEXT, "subscription_id": TEXT, "line_order": WHOLE, "line_type": TEXT, "description": TEXT, "unit": TEXT,
    "currency": TEXT, "period_start": INSTANT, "period_end": INSTANT, "invoice_id": TEXT,
}  # fmt: skip
_SAME_QUESTION = (
    "tenant_id",
    "customer_id",
    "currency",
    "line_id",
    "verdict",
    "billed",
    "adjusted",
    "replayed",
)

BILLED = {
    "tenant_id": TEXT,
    "line_id": TEXT,
    **_ABOUT,
    **_TYPES,
    "number": TEXT,
    "status": TEXT,
    "adjusted": AMOUNT,
}
"""Lines as billed, with their invoice's number and status, and what adjustments have since put right, both before
tax that is added to the price."""


def compare(
    *, billed: pl.DataFrame, routed_lines: pl.DataFrame, voided: Iterable[tuple[str, str]] = ()
) -> pl.DataFrame:
    """One row per line of BILLED or of the ROUTED_LINES worked out anew, in order, with what both say (`…_replayed`), and:

    `verdict`: EQUAL, CHANGED, MISSING (billed, and nothing comes to it any more), EXTRA (not billed, and should have been), VOIDED
    (billed on an invoice that somebody voided: `voided`, as (tenant, invoice)) or HELD (the customer cannot be worked out; `hold_reason`). `billed`, `replayed`: before tax that is added to the
    price. `adjusted`: put right since. `difference`: replayed − billed − adjusted. `changed`: the columns that differ.
    """
    anew = routed_lines.select(
        *_WHO, *_ABOUT, *(pl.col(name).alias(f"{name}_replayed") for name in _TYPES), "hold_reason"
    )
    both = billed.select(*BILLED).join(anew, on=_WHO, how="full", suffix="_anew", coalesce=True)
    # Who is held now and was not billed then is no difference: nothing was owed to be compared.
    both = both.filter(pl.col("status").is_not_null() | pl.col("hold_reason").is_null())
    both = both.with_columns(pl.coalesce(name, f"{name}_anew").alias(name) for name in _ABOUT)
    held = pl.col("hold_reason").is_not_null()
    differs = {name: pl.col(name).ne_missing(pl.col(f"{name}_replayed")) for name in _COMPARED}
    was_billed, comes_again = pl.col("status").is_not_null(), pl.col("taxable_replayed").is_not_null()
    # Where an adjustment has put the amounts right, the line as billed still differs, and that is as it should be.
    zero = pl.lit(0, dtype=AMOUNT)
    sums = both.with_columns(
        billed=_charged(""),
        replayed=_charged("_replayed"),
        adjusted=pl.col("adjusted").fill_null(zero),
    ).with_columns(difference=pl.col("replayed") - pl.col("billed") - pl.col("adjusted"))
    put_right = (pl.col("adjusted") != 0) & (pl.col("difference") == 0)
    gone = [f"{tenant}\0{invoice}" for tenant, invoice in voided]
    void = pl.concat_str("tenant_id", "invoice_id", separator="\0").is_in(gone).fill_null(False)
    verdict = (
        pl.when(held)
        .then(pl.lit("HELD"))
        .when(put_right)
        .then(pl.lit("EQUAL"))
        .when(~comes_again)
        .then(pl.lit("MISSING"))
        .when(~was_billed & void)
        .then(pl.lit("VOIDED"))
        .when(~was_billed)
        .then(pl.lit("EXTRA"))
        .when(pl.any_horizontal(differs.values()) | (pl.col("difference") != 0))
        .then(pl.lit("CHANGED"))
        .otherwise(pl.lit("EQUAL"))
    )
    changed = pl.concat_list(pl.when(both_differ).then(pl.lit(name)) for name, both_differ in differs.items())
    return (
        sums.with_columns(verdict=verdict, changed=changed.list.drop_nulls())
        .with_columns(
            difference=pl.when(held | (pl.col("verdict") == "VOIDED")).then(None).otherwise("difference")
        )
        .drop(f"{name}_anew" for name in _ABOUT)
        .sort("tenant_id", "customer_id", "subscription_id", "line_order", "line_id", nulls_last=True)
    )


def _charged(suffix: str) -> pl.Expr:
    """What the price came to: an adjustment is a price, too, and taxed like one."""
    taxable, included = pl.col(f"taxable{suffix}"), pl.col(f"tax_included{suffix}")
    return (taxable.fill_null(0) + included.fill_null(0)).cast(AMOUNT)


def findings(compared: pl.DataFrame) -> pl.DataFrame:
    """The lines that are not equal. What somebody voided is as it should be."""
    return compared.filter(~pl.col("verdict").is_in(["EQUAL", "VOIDED"]))


def findings_hash(month: str, found: pl.DataFrame) -> str:
    """SHA-256 over what a replay of the month found: the same finding has the same hash, however often it is made."""
    rows = found.sort(_WHO).select(pl.col(name).cast(TEXT) for name in _SAME_QUESTION).rows()
    return sha256(json.dumps([month, rows]).encode()).hexdigest()
