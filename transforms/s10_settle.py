"""Stage 10, Settle: what each invoice comes to, and who pays. Put here: its sums. Keep out: numbering,
payments."""

from __future__ import annotations

import polars as pl

from domain.errors import PermanentFailure
from transforms.frames import SETTLEMENTS
from transforms.terms import LINE_KEY

_OWN_START, _OWN_END = (
    pl.col(name).filter(pl.col("line_type") != "ADJUSTMENT") for name in ("period_start", "period_end")
)


class MixedBillingEntities(PermanentFailure):
    """One invoice has one issuer."""

    code = "MIXED_BILLING_ENTITIES"

    def __init__(self, tenant_id: str, customer_id: str, entities: list[str]) -> None:
        super().__init__(
            f"customer {customer_id} of tenant {tenant_id} has lines of several billing entities "
            f"({', '.join(entities)}) in one currency; let all its subscriptions be issued by one entity"
        )


def settle(*, routed_lines: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """SETTLEMENTS: one row per invoice; the sums of its rounded lines, due but for what the wallet pays. Raises
    `MixedBillingEntities`."""
    amount_due = pl.col("total") - pl.col("wallet_amount")
    invoices = (
        routed_lines.filter(pl.col("destination") != "HELD")
        .join(terms.select(*LINE_KEY, "billing_entity"), on=LINE_KEY, how="left")
        .group_by("month", "tenant_id", "customer_id", "invoice_id", "currency")
        .agg(
            entities=pl.col("billing_entity").unique().sort(),
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
        .with_columns(
            billing_entity=pl.col("entities").list.first(),
            total=pl.col("subtotal") - pl.col("discount") + pl.col("tax"),
        )
        .with_columns(amount_due=amount_due)
        .sort("month", "tenant_id", "customer_id", "invoice_id")
    )
    _require_one_entity(invoices)
    return SETTLEMENTS.conform(invoices)


def _require_one_entity(invoices: pl.DataFrame) -> None:
    mixed = invoices.filter(pl.col("entities").list.len() > 1)
    if not mixed.is_empty():
        raise MixedBillingEntities(*mixed.select("tenant_id", "customer_id", "entities").row(0))
