"""Terms besides prices, as columns of BILLING_TERMS. Put here: caps, rollover, timing, spend, and what billing cannot honour yet.
Keep out: prices and periods (terms.py), prices by dimension (terms_by_dimension.py), what the stages make of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

_BOUNDS = ("minimumSpend", "maximumSpend")


def fee_ahead(content: Mapping[str, Any]) -> Decimal | None:
    """The base fee that bills charge for the period after, where something is agreed for a period that it counts towards."""
    agreed = any(content.get(name) for name in (*_BOUNDS, "commitment"))
    return _decimal(content["baseFee"]) if agreed and content.get("baseFeeTiming") == "ADVANCE" else None


def plan_columns(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a version's content (see RatePlan.content) says of every line. unsupported: terms no column holds, for people."""
    return {
        "tax_code": content.get("taxCategory"),
        "minimum_spend": _decimal(content.get("minimumSpend")),
        "maximum_spend": _decimal(content.get("maximumSpend")),
        "unsupported": ", ".join(_not_honoured(content)) or None,
    }


def _not_honoured(content: Mapping[str, Any]) -> Iterator[str]:
    if content.get("baseFeeTiming") != "ADVANCE":
        return
    if (content.get("commitment") or {"type": "MONTHLY"})["type"] != "MONTHLY":
        yield "a base fee in advance with a commitment over a term"
    if not content["prices"] and any(content.get(name) for name in _BOUNDS):
        yield "a base fee in advance with a minimum or maximum spend and no unit"


def price_columns(price: Mapping[str, Any]) -> dict[str, Any]:
    """What the price of one unit says besides. Free units are the cap where a behaviour is agreed and no limit, with
    those carried in (cap_carries)."""
    behavior = price.get("ovBehavior")
    limit = price.get("limit")
    rollover = price.get("rollover") or {}
    moving = rollover and limit is None and behavior in ("BLOCK", "IGNORE")
    return {
        "cap": _decimal(price["includedFree"] if behavior and limit is None else limit),
        "cap_behavior": behavior or ("CHARGE" if limit is not None else None),
        "rollover": bool(rollover),
        "rollover_cap": _decimal(rollover.get("cap")),
        "billing_timing": price.get("billingTiming", "ARREARS"),
        "cap_carries": True if moving else None,
        **({"tax_code": price["taxCategory"]} if price.get("taxCategory") else {}),
    }


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
