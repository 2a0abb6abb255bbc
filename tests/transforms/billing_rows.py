"""Rows for billing tests. Put here: builders with sensible defaults. Keep out: named worlds, assertions."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from transforms.frames import (
    BILLING_TERMS,
    BONUS_BALANCES,
    METERED_EVENTS,
    QUANTITY,
    USAGE_AGGREGATES,
    WALLET_BALANCES,
)

NOVEMBER = datetime(2023, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2023, 12, 1, tzinfo=UTC)
MID_NOVEMBER = datetime(2023, 11, 16, tzinfo=UTC)


def d(text: str | int) -> Decimal:
    return Decimal(text)


def term(unit: str | None = "api_calls", model: str = "PER_UNIT", **given: Any) -> dict[str, Any]:
    """A BILLING_TERMS row: USAGE of `unit`, or with unit None a base fee."""
    customer = given.get("customer_id", "c1")
    row: dict[str, Any] = dict.fromkeys(BILLING_TERMS.schema)
    row |= {
        "month": "2023-11",
        "tenant_id": "acme",
        "customer_id": customer,
        "subscription_id": f"sub_{customer}",
        "line_id": f"ln_{customer}_{unit or 'base_fee'}",
        "line_order": 1 if unit else 0,
        "due": True,
        "kind": "USAGE" if unit else "BASE_FEE",
        "period_start": NOVEMBER,
        "period_end": DECEMBER,
        "active_start": NOVEMBER,
        "active_end": DECEMBER,
        "currency": "USD",
        "exponent": 2,
        "rounding": "HALF_EVEN",
        "billing_entity": "main",
        "billing_mode": "POSTPAID",
        "offering": "pro",
        "plan": "pro",
        "plan_version": 1,
        "description": unit or "Pro plan: base fee",
        "unit": unit,
        "aggregation": "SUM" if unit else None,
        "model": model if unit else "FEE",
        "rate": d("0.01") if model in {"PER_UNIT", "INCLUDED_QUOTA", "PERCENTAGE"} and unit else None,
        "included_free": d(0),
        "billing_timing": "ARREARS",
        "rollover": False,
        "coupons": [],
    }
    return row | given


def terms(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=BILLING_TERMS.schema)


def grant(grant_id: str, available: str | int, **given: Any) -> dict[str, Any]:
    """A WALLET_BALANCES row: cash for anything, for ever."""
    row: dict[str, Any] = {
        "month": "2023-11", "tenant_id": "acme", "customer_id": "c1", "currency": "USD", "wallet_id": "w1",
        "grant_id": grant_id, "burn_order": 0, "kind": "CASH", "available": d(available), "expires_at": None, "units": None,
    }  # fmt: skip
    return row | given


def wallets(*rows: dict[str, Any]) -> pl.DataFrame:
    """WALLET_BALANCES, burned in the order given."""
    return pl.DataFrame(
        [row | {"burn_order": place} for place, row in enumerate(rows)], schema=WALLET_BALANCES.schema
    )


def units_granted(*rows: dict[str, Any]) -> pl.DataFrame:
    """BONUS_BALANCES of c1's calls, burned in the order given."""
    usual = {
        "month": "2023-11", "tenant_id": "acme", "customer_id": "c1", "unit": "calls", "wallet_id": "w1", "effective_at": NOVEMBER,
        "expires_at": None,
    }  # fmt: skip
    return pl.DataFrame(
        [usual | row | {"burn_order": place} for place, row in enumerate(rows)], schema=BONUS_BALANCES.schema
    )


def tiers(*bands: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Bands as (up_to, unit_price[, flat_fee])."""
    return [
        {
            "up_to": None if up_to is None else d(up_to),
            "unit_price": d(price),
            "flat_fee": d(fee[0]) if fee else d(0),
        }
        for up_to, price, *fee in bands
    ]


def used(line: dict[str, Any], value: str | int | None, **given: Any) -> dict[str, Any]:
    """A USAGE_AGGREGATES row of a term's line."""
    row: dict[str, Any] = {name: line.get(name) for name in USAGE_AGGREGATES.schema}
    row |= {
        "disposition": "BILLABLE",
        "events": 0 if value is None else 1,
        "late_events": 0,
        "value": None if value is None else d(value),
    }
    return row | given


def unpriced(disposition: str, unit: str = "gpu_hours", customer: str = "c1", **given: Any) -> dict[str, Any]:
    """A USAGE_AGGREGATES row of usage that nothing prices."""
    line = {"month": "2023-11", "tenant_id": "acme", "customer_id": customer, "unit": unit}
    row = used(line | {"line_id": f"un_{customer}_{unit}"}, 3, disposition=disposition)
    return row | {"first_at": MID_NOVEMBER, "last_at": MID_NOVEMBER} | given


def aggregates(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=USAGE_AGGREGATES.schema)


def metered(*events: tuple[dict[str, Any], str | int]) -> pl.LazyFrame:
    """METERED_EVENTS of (term, quantity), billable, one a minute from the middle of the month."""
    rows = []
    for place, (line, quantity) in enumerate(events):
        row: dict[str, Any] = {name: line.get(name) for name in METERED_EVENTS.schema}
        row |= {
            "raw_seq": place + 1,
            "key_hash": place + 1,
            "idempotency_key": f"k{place}",
            "occurred_at": MID_NOVEMBER,
            "quantity": d(quantity),
            "late": False,
            "correction": d(quantity) < 0,
            "disposition": "BILLABLE",
            "running_total": d(0),
            "marginal_revenue": d(0),
        }
        rows.append(row)
    return pl.LazyFrame(rows, schema=METERED_EVENTS.schema)


def quantities(*values: str | int | None) -> pl.Series:
    return pl.Series("value", [None if value is None else d(value) for value in values], dtype=QUANTITY)
