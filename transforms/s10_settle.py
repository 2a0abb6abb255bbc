"""Stage 10, Settle: what each invoice comes to, and who pays. Put here: its sums. Keep out: numbering,
payments."""

from __future__ import annotations

import polars as pl

from transforms.frames import SETTLEMENTS
from transforms.terms import LINE_KEY

_OWN_START, _OWN_END = (
    pl.col(name).filter(pl.col("line_type") != "ADJUSTMENT") for name in ("period_start", "period_end")
)


def settle(*, routed_lines: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """SETTLEMENTS: one row per invoice; the sums of its rounded lines, due but for what the wallet pays. Its lines
    have one issuer: Route holds customers of whom that is not so."""
    amount_due = pl.col("total") - pl.col("wallet_amount")
    invoices = (
        routed_lines.filter(pl.col("destination") != "HELD")
        .join(terms.select(*LINE_KEY, "billing_entity"), on=LINE_KEY, how="left")
        .group_by("month", "tenant_id", "customer_id", "invoice_id", "currency")
        .agg(
            billing_entity=pl.col("billing_entity").min(),
            # The period of an adjustment is that of the month it corrects.
            period_start=pl.coalesce(_OWN_START.min(), pl.col("period_start").min()),
            period_end=pl.coalesce(_OWN_END.max(), pl.col("period_end").max()),
            lines=pl.len(),
            subtotal=(
                pl.col("amount") + pl.col("commit_adjustment") - pl.col("tax_included").fill_null(0)
            ).sum(),
            discount=pl.col("discount").sum(),
            tax=pl.col("tax").sum(),
            wallet_amount=pl.col("wallet_amount").sum(),
        )
        .with_columns(total=pl.col("subtotal") - pl.col("discount") + pl.col("tax"))
        .with_columns(amount_due=amount_due)
        .sort("month", "tenant_id", "customer_id", "invoice_id")
    )
    return SETTLEMENTS.conform(invoices)
