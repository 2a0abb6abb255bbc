"""Terms besides prices, as columns of BILLING_TERMS. Put here: caps, rollover, timing, spend, and what billing cannot honour yet.
Keep out: prices and periods (terms.py), what the stages make of them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_NOT_HONOURED = {
    "setupFee": "a setup fee", "dimensionPricing": "a price by dimension",
    "baseFeeTiming": "a base fee in advance",
}  # fmt: skip


def plan_columns(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a version's content (see RatePlan.content) says of every line. unsupported: terms no column holds, for people."""
    return {
        "tax_code": content.get("taxCategory"),
        "minimum_spend": _decimal(content.get("minimumSpend")),
        "maximum_spend": _decimal(content.get("maximumSpend")),
        "unsupported": ", ".join(what for name, what in _NOT_HONOURED.items() if content.get(name)) or None,
    }


def price_columns(price: Mapping[str, Any]) -> dict[str, Any]:
    """What the price of one unit says besides. Free units are the cap where a behaviour is agreed and no limit."""
    behavior = price.get("ovBehavior")
    limit = price.get("limit")
    own: dict[str, Any] = {"unsupported": "a price by dimension"} if price.get("dimensionPricing") else {}
    if price.get("taxCategory"):
        own["tax_code"] = price["taxCategory"]
    return {
        "cap": _decimal(price["includedFree"] if behavior and limit is None else limit),
        "cap_behavior": behavior or ("CHARGE" if limit is not None else None),
        "rollover": bool(price.get("rollover")),
        "billing_timing": price.get("billingTiming", "ARREARS"),
        **own,
    }


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
