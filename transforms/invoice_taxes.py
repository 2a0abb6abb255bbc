"""The taxes of the invoices. Put here: adding up the lines' taxes, rate by rate. Keep out: working them out (Tax)."""

from __future__ import annotations

import polars as pl

from transforms.frames import AMOUNT, INVOICE_TAXES, TAXES

_INVOICE = ["tenant_id", "invoice_id"]
_ONE = ["jurisdiction", "inclusive", "name", "rate_id", "category", "treatment", "tax_id", "rate"]


def invoice_taxes(lines: pl.DataFrame) -> pl.DataFrame:
    """What each tax of an invoice comes to: INVOICE_TAXES but for the columns the lines lack. Numbered from 1 by jurisdiction,
    name and category. lines: with `invoice_id` and `taxes`; those without either have no part in it."""
    known = [name for name in ("month", "customer_id") if name in lines.columns]
    of_lines = lines.filter(pl.col("invoice_id").is_not_null(), pl.col("taxes").list.len() > 0)
    each = (
        of_lines.select(*known, *_INVOICE, "currency", pl.col("taxes").cast(TAXES))
        .explode("taxes")
        .unnest("taxes")
    )
    summed = each.group_by(*known, *_INVOICE, "currency", *_ONE).agg(
        pl.col("taxable").sum().cast(AMOUNT), pl.col("tax").sum().cast(AMOUNT)
    )
    ordered = summed.sort(*_INVOICE, *_ONE, nulls_last=False)
    numbered = ordered.with_columns(number=pl.int_range(1, pl.len() + 1).over(_INVOICE))
    return numbered.select(name for name in INVOICE_TAXES.schema if name in numbered.columns)
