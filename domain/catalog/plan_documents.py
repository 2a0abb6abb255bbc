"""Rate plans as written. Put here: the one form that the API answers, a file holds and `read_plan` reads back. Keep out:
versions and states, reading."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from domain.catalog.plans import (
    RatePlan,
    UnitPrice,
    commitment_content,
    dimensions_content,
    rate_limit_content,
    rollover_content,
)
from domain.quantity import plain

READ_ONLY = (
    "version", "status", "revision", "createdAt", "updatedAt", "archivedAt", "publishedAt", "effectiveAt", "contentHash",
    "draftVersion",
)  # fmt: skip
"""What answers add to the document; sent back, it says nothing."""


def plan_document(plan: RatePlan, names: Mapping[str, str]) -> dict[str, Any]:
    """The plan in the wire's words; decimals are text, absent terms are left out. names: of the units, by key."""
    later = {
        "baseFee": _text(plan.base_fee),
        "baseFeeTiming": None if plan.base_fee_timing == "ARREARS" else plan.base_fee_timing,
        "setupFee": _text(plan.setup_fee),
        "minimumSpend": _text(plan.minimum_spend),
        "maximumSpend": _text(plan.maximum_spend),
        "commitment": commitment_content(plan.commitment),
        "rateLimit": rate_limit_content(plan.rate_limit),
        "dimensionPricing": dimensions_content(plan.dimensions),
        "taxCategory": plan.tax_category,
    }
    return {
        "id": plan.key,
        "name": plan.name,
        "description": plan.description,
        "currency": plan.currency,
        **({"pricingModel": plan.pricing_model} if plan.pricing_model else {}),
        "productIds": list(plan.products),
        **{name: value for name, value in later.items() if value is not None},
        "metricConfigs": [price_document(price, names.get(price.unit, price.unit)) for price in plan.prices],
    }


def price_document(price: UnitPrice, name: str) -> dict[str, Any]:
    """One unit's price in the wire's words. Every price says its `rate`, 0 where tiers or a flat amount stand for it."""
    terms = {
        "flatRate": _text(price.flat_amount),
        "blockSize": _text(price.block_size),
        "blockRateBasis": price.block_rate_basis,
        "minFee": _text(price.min_fee),
        "perEventFee": _text(price.per_event_fee),
        "perEventMin": _text(price.per_event_min),
        "perEventMax": _text(price.per_event_max),
        "limit": _text(price.limit),
        "rollover": rollover_content(price.rollover),
        "dimensionPricing": dimensions_content(price.dimensions),
        "taxCategory": price.tax_category,
        "tiers": _tiers(price) or None,
    }
    return {
        "metricId": price.unit,
        "metricName": name,
        "model": price.model,
        "rate": _text(price.rate) or "0",
        "includedFree": plain(price.included_free),
        "billingTiming": price.timing,
        "ovBehavior": price.overage,
        **{name: value for name, value in terms.items() if value is not None},
    }


def _tiers(price: UnitPrice) -> list[dict[str, Any]]:
    starts = [Decimal(0), *(tier.up_to for tier in price.tiers if tier.up_to is not None)]
    return [
        {
            "tierStart": plain(start),
            "tierEnd": "-1" if tier.up_to is None else plain(tier.up_to),
            "unitPrice": plain(tier.unit_price),
            "flatFee": plain(tier.flat_fee),
            "sortOrder": order,
        }
        for order, (start, tier) in enumerate(zip(starts, price.tiers, strict=False))
    ]


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)
