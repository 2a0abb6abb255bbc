"""One good month, every table of it. Put here: the frames suites are tried on. Keep out: corruptions, assertions."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import polars as pl

from domain.tax import TaxAnswer, TaxRate
from tests.transforms.billing_rows import MID_NOVEMBER, d, grant, term, terms, tiers, units_granted, wallets
from tests.transforms.event_rows import gated, metered_month, raw_event, raws
from transforms.frames import INVOICE_TAXES, INVOICES, TABLES
from transforms.invoice_lines import invoice_lines
from transforms.invoice_taxes import invoice_taxes
from transforms.pipeline import run

PLAN = [
    {"unit": None, "flat_amount": d("49.00")},
    {"unit": "api_calls", "rate": d("0.01"), "included_free": d(2)},
    {"unit": "tokens", "model": "GRADUATED", "tiers": tiers((10, "0.5"), (None, "0.1")), "line_order": 2},
    {"unit": "gb", "model": "PER_UNIT", "aggregation": "MAX", "rate": d(3), "line_order": 3},
    {
        "unit": "seats",
        "model": "FLAT_RATE",
        "flat_amount": d(7),
        "active_start": MID_NOVEMBER,
        "line_order": 4,
    },
    {"unit": "exports", "model": "PER_UNIT", "aggregation": "COUNT", "rate": d(1), "line_order": 5},
]
CUSTOMERS = ("c1", "c2")
_RATES = (
    TaxRate("vat", "VAT", "DE", d("0.19"), date(2023, 1, 1), inclusive=True),
    TaxRate("levy", "Levy", "DE", d("0.01"), date(2023, 1, 1)),
)
TAX = {"c1": TaxAnswer(rates=_RATES).as_text(), "c2": None}
MODES = {"c1": "POSTPAID", "c2": "HYBRID"}
TERMS = terms(
    *(
        term(customer_id=customer, billing_mode=MODES[customer], tax=TAX[customer], **price)
        for customer in CUSTOMERS
        for price in PLAN
    )  # type: ignore[arg-type]
)
WALLETS = wallets(grant("g1", 20, customer_id="c2"))
BONUS = units_granted({"grant_id": "u1", "unit": "tokens", "available": d(3)})


def _arrived() -> pl.DataFrame:
    """Usage of all units by both customers, a unit nobody prices by a third, a duplicate, a conflict and a refusal."""
    rows = [
        raw_event(
            f"{customer}-{unit}-{n}",
            3 + n,
            customer_id=customer,
            unit=unit,
            occurred_at=MID_NOVEMBER + timedelta(seconds=n),
        )
        for customer in CUSTOMERS
        for unit in ("api_calls", "tokens", "gb", "seats")
        for n in range(4)
    ]
    odd = [
        raw_event("c3-gpu", 5, customer_id="c3", unit="gpu_hours"),
        rows[0],
        rows[1] | {"quantity": d(9), "payload_hash": 1},
        raw_event("x", None, door="REJECTED", reject_code="UNKNOWN_METRIC", reject_detail="metricName: …"),
    ]
    return raws(*rows, *odd)


@cache
def good_month() -> dict[str, pl.DataFrame]:
    """Every table of TABLES, as the month leaves them."""
    raw = _arrived()
    kept, quarantined = gated(raw)
    metered = metered_month(kept, TERMS, bonus_balances=BONUS)
    made = run(metered_events=metered.lazy(), terms=TERMS, wallet_balances=WALLETS, bonus_balances=BONUS)
    numbered = (
        made["settlements"]
        .with_row_index("place")
        .with_columns(
            number=pl.format("INV-2023-{}", pl.col("place") + 1),
            status=pl.lit("DRAFT"),
            content_hash=pl.lit("…"),
            input_hash=pl.lit("1"),
            raw_until=pl.lit(1),
            code_version=pl.lit("1"),
        )
    )
    invoices = INVOICES.conform(numbered)
    lines = invoice_lines(routed_lines=made["routed_lines"], invoices=invoices)
    tables = made | {
        "raw_events": raw,
        "validated_events": kept,
        "quarantined_events": quarantined,
        "billing_terms": TERMS,
        "wallet_balances": WALLETS,
        "bonus_balances": BONUS,
        "metered_events": metered,
        "invoices": invoices,
        "invoice_lines": lines,
        "invoice_taxes": INVOICE_TAXES.conform(invoice_taxes(lines)),
    }
    return {name: tables[name] for name in TABLES}
