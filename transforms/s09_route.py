"""Stage 9, Route: where each line goes. Put here: invoice, wallet, or held. Keep out: sums (Settle),
numbering."""

from __future__ import annotations

from hashlib import sha256

import polars as pl

from transforms.frames import ROUTED_LINES, TEXT

_CUSTOMER = ["month", "tenant_id", "customer_id"]


def route(*, taxed_lines: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """ROUTED_LINES: a customer with any problem has all lines HELD, with all reasons; the others go to an
    INVOICE, one per customer and currency. terms: how each pays; what is not POSTPAID has a problem since Rate."""
    del terms
    reasons = (
        taxed_lines.filter(pl.col("problem").is_not_null())
        .group_by(_CUSTOMER)
        .agg(hold_reason=pl.col("problem").unique().sort().str.join("; "))
    )
    held = pl.col("hold_reason").is_not_null()
    lines = (
        taxed_lines.join(reasons, on=_CUSTOMER, how="left", maintain_order="left")
        .join(_invoice_ids(taxed_lines), on=[*_CUSTOMER, "currency"], how="left", maintain_order="left")
        .with_columns(
            destination=pl.when(held).then(pl.lit("HELD")).otherwise(pl.lit("INVOICE")),
            invoice_id=pl.when(~held).then("invoice_id"),
        )
    )
    return ROUTED_LINES.conform(lines)


def _invoice_ids(lines: pl.DataFrame) -> pl.DataFrame:
    """(month, tenant_id, customer_id, currency, invoice_id): the id follows from the other four, so a rerun
    keeps it."""
    invoices = lines.select(*_CUSTOMER, "currency").drop_nulls().unique(maintain_order=True)
    ids = [
        "inv_" + sha256("\0".join([tenant, customer, month, currency]).encode()).hexdigest()[:20]
        for month, tenant, customer, currency in invoices.iter_rows()
    ]
    return invoices.with_columns(pl.Series("invoice_id", ids, dtype=TEXT))
