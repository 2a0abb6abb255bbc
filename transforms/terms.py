"""What the stages share about terms. Put here: picking the due ones, refusing what no stage can honour yet.
Keep out: what the terms mean (each stage)."""

from __future__ import annotations

import polars as pl

from domain.errors import PermanentFailure

LINE_KEY = ["month", "line_id"]
LINE_ORDER = ["month", "tenant_id", "customer_id", "subscription_id", "line_order", "line_id"]


class UnsupportedTerms(PermanentFailure):
    """Terms ask for what this version does not do; billing them as if they did not would be wrong."""

    code = "TERMS_NOT_SUPPORTED"

    def __init__(self, stage: str, what: str, offending: pl.DataFrame) -> None:
        first = offending.row(0, named=True)
        others = f" and {offending.height - 1} more lines" if offending.height > 1 else ""
        super().__init__(
            f"{stage} cannot honour {what} yet: tenant {first['tenant_id']}, "
            f"customer {first['customer_id']}, line {first['line_id']} ({first['description']}) "
            f"of plan {first['plan']} v{first['plan_version']}{others}. Move the subscription to a plan "
            "version without it, or leave the customer out of this run."
        )


def due(terms: pl.DataFrame) -> pl.DataFrame:
    """The BILLING_TERMS rows whose period ends in the month, so that they are billed with it."""
    return terms.filter(pl.col("due"))


def refuse(terms: pl.DataFrame, where: pl.Expr, *, stage: str, what: str) -> None:
    """Raise `UnsupportedTerms` if `where` is true of any row."""
    offending = terms.filter(where)
    if not offending.is_empty():
        raise UnsupportedTerms(stage, what, offending.sort(LINE_ORDER))
