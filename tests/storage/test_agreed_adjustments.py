"""Adjustments beside tax, currency and commitments: claims about the months that carry them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any

import polars as pl
from sqlalchemy import insert
from sqlalchemy.orm import Session

from storage.tables.corrections import AdjustmentRow, ReplayRow
from tests.storage.test_agreed_terms import GERMANY, VAT, billed, rate, totals, world
from tests.storage.worlds import applied

REPLAY = {"tenant_id": "acme", "id": "rpy_1", "month": "2026-01", "source": "REPLAY", "status": "PROPOSED"}


def adjusted(session: Session, made: dict[str, pl.DataFrame], amounts: dict[str, str]) -> None:
    """Post adjustments to lines of January, given by their model."""
    about = {"content_hash": "x", "code_version": "0", "differences": []}
    session.execute(insert(ReplayRow), {**REPLAY, **about})
    for model, amount in amounts.items():
        line = made["routed_lines"].filter(pl.col("model") == model).row(0, named=True)
        kept: dict[str, Any] = {
            name: line[name] for name in ("customer_id", "subscription_id", "line_id", "invoice_id", "unit")
        }
        period = {"period_start": line["period_start"], "period_end": line["period_end"]}
        said = {"description": "Correction of 2026-01", "reason": "late", "status": "PENDING"}
        session.execute(
            insert(AdjustmentRow),
            {
                "tenant_id": "acme",
                "id": f"adj_{model}",
                "replay_id": "rpy_1",
                "replay_hash": "x",
                "month": "2026-01",
                "currency": line["currency"],
                "amount": D(amount),
                **kept,
                **period,
                **said,
                "created_at": datetime(2026, 2, 3, tzinfo=UTC),
            },
        )


def test_an_adjustment_is_in_the_invoices_currency_already_and_is_taxed_like_its_unit(
    session: Session,
) -> None:
    """(30 USD at 0.9) 27.00 + 5.00 and 19 % of both: 38.08."""
    ann = {"id": "ann", "currency": "EUR", **GERMANY}
    applied(session, world([ann], taxRates=[VAT]))
    rate(session, "2025-12-31", "0.9")
    adjusted(session, billed(session, "2026-01"), {"PER_UNIT": "5"})
    made = billed(session, "2026-02")
    assert totals(made) == {"ann": ("EUR", D("38.08"))}
    line = made["routed_lines"].filter(pl.col("line_type") == "ADJUSTMENT").row(0, named=True)
    assert (line["amount"], line["tax"], line["fx_rate"]) == (D(5), D("0.95"), None)


def test_an_adjustment_is_a_price_that_contains_tax_where_prices_do(session: Session) -> None:
    applied(session, world([{"id": "ann", **GERMANY}], taxRates=[VAT | {"inclusive": True}]))
    adjusted(session, billed(session, "2026-01"), {"PER_UNIT": "11.90"})
    made = billed(session, "2026-02")
    assert totals(made) == {"ann": ("USD", D("41.90"))}


def test_what_is_put_right_counts_towards_the_commitment_whenever_a_month_is_billed_again(
    session: Session,
) -> None:
    """January came to 35 and drew as much, so 15 of 50 are left for the 30 of February."""
    applied(session, world([{"id": "ann"}], plan={"commitment": {"type": "PREPAID", "amount": 50}}))
    adjusted(session, billed(session, "2026-01"), {"PER_UNIT": "5", "DRAW": "-5"})
    due = [totals(billed(session, month))["ann"][1] for month in ("2026-02", "2026-02", "2026-03")]
    assert due == [D(15), D(15), D(30)]
