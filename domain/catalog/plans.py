"""Rate plans. Put here: what a plan charges, and its frozen content. Keep out: reading one (plan_reading.py), its wire form
(plan_documents.py), charging (domain.pricing).

A published version is the plan's content frozen with the definitions of its units; subscriptions pin one, so neither a new
price nor a renamed unit changes what was agreed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from domain.catalog.plan_terms import (
    Commitment,
    DimensionPrice,
    DimensionPricing,
    RateLimit,
    Rollover,
)
from domain.catalog.units import Unit
from domain.quantity import plain

MODELS = ("PER_UNIT", "FLAT_RATE", "PERCENTAGE", "INCLUDED_QUOTA", "GRADUATED", "VOLUME_TIERED")
TIERED = ("GRADUATED", "VOLUME_TIERED")


@dataclass(frozen=True, slots=True)
class Tier:
    """A band of usage; `up_to` is inclusive, None in the last."""

    up_to: Decimal | None
    unit_price: Decimal
    flat_fee: Decimal


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """How a plan prices one unit. rate: per unit or block; for PERCENTAGE the fraction (0.025 is 2.5 %).

    limit: usage in a period beyond which `overage` says what happens: CHARGE (nothing special), BLOCK (refused at the edge,
    and not billed if it slips through), IGNORE (let through, not billed). timing: ARREARS; ADVANCE in versions of old alone.
    """

    unit: str
    model: str
    rate: Decimal | None = None
    flat_amount: Decimal | None = None
    included_free: Decimal = Decimal(0)
    block_size: Decimal | None = None
    block_rate_basis: str | None = None
    min_fee: Decimal | None = None
    per_event_fee: Decimal | None = None
    per_event_min: Decimal | None = None
    per_event_max: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    limit: Decimal | None = None
    overage: str = "CHARGE"
    rollover: Rollover | None = None
    timing: str = "ARREARS"
    dimensions: DimensionPricing | None = None
    tax_category: str | None = None

    @property
    def cap(self) -> Decimal | None:
        """Usage beyond this is not charged; None: all of it is. Without a limit of its own, the free units are it."""
        if self.overage == "CHARGE":
            return None
        return self.included_free if self.limit is None else self.limit


@dataclass(frozen=True, slots=True)
class RatePlan:
    """Prices of one or more units and fees, in one currency. products: which products it is made for (informative)."""

    key: str
    name: str
    currency: str
    description: str | None = None
    base_fee: Decimal | None = None
    prices: tuple[UnitPrice, ...] = ()
    pricing_model: str | None = None
    products: tuple[str, ...] = ()
    base_fee_timing: str = "ARREARS"
    setup_fee: Decimal | None = None
    minimum_spend: Decimal | None = None
    maximum_spend: Decimal | None = None
    commitment: Commitment | None = None
    rate_limit: RateLimit | None = None
    dimensions: DimensionPricing | None = None
    tax_category: str | None = None

    def content(self, units: Mapping[str, Unit]) -> dict[str, Any]:
        """The plan frozen with its units' definitions, as JSON: decimals are text. Terms that came with later releases stand
        in it only where they are agreed, so that a version's hash does not depend on the release that made it."""
        return {
            "name": self.name,
            "currency": self.currency,
            "baseFee": _text(self.base_fee),
            "prices": [_price_content(price, units[price.unit]) for price in self.prices],
            **_agreed(
                {
                    "pricingModel": self.pricing_model,
                    "products": list(self.products),
                    "baseFeeTiming": _unless(self.base_fee_timing, "ARREARS"),
                    "setupFee": _text(self.setup_fee),
                    "minimumSpend": _text(self.minimum_spend),
                    "maximumSpend": _text(self.maximum_spend),
                    "commitment": commitment_content(self.commitment),
                    "rateLimit": rate_limit_content(self.rate_limit),
                    "dimensionPricing": dimensions_content(self.dimensions),
                    "taxCategory": self.tax_category,
                }
            ),
        }

    def with_units(self, keys: Mapping[str, str]) -> RatePlan:
        """The plan with each unit by its key. keys: unit keys by key and name, lower case; what is unknown stays as written."""
        found = (replace(price, unit=keys.get(price.unit.lower(), price.unit)) for price in self.prices)
        return replace(self, prices=tuple(found))


def plan_of(key: str, description: str | None, content: Mapping[str, Any]) -> RatePlan:
    """The plan a version's content was made from."""
    later = content.get
    return RatePlan(
        key=key,
        name=content["name"],
        currency=content["currency"],
        description=description,
        base_fee=_decimal(content["baseFee"]),
        prices=tuple(_price_of(price) for price in content["prices"]),
        pricing_model=later("pricingModel"),
        products=tuple(later("products", ())),
        base_fee_timing=later("baseFeeTiming", "ARREARS"),
        setup_fee=_decimal(later("setupFee")),
        minimum_spend=_decimal(later("minimumSpend")),
        maximum_spend=_decimal(later("maximumSpend")),
        commitment=_commitment_of(later("commitment")),
        rate_limit=_rate_limit_of(later("rateLimit")),
        dimensions=_dimensions_of(later("dimensionPricing")),
        tax_category=later("taxCategory"),
    )


def content_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a version's content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def commitment_content(agreed: Commitment | None) -> dict[str, Any] | None:
    """As JSON; decimals are text."""
    if agreed is None:
        return None
    return {
        "type": agreed.type,
        "amount": plain(agreed.amount),
        "trueUp": agreed.true_up,
        "overageFactor": plain(agreed.overage_factor),
        "termMonths": agreed.term_months,
    }


def rate_limit_content(limit: RateLimit | None) -> dict[str, Any] | None:
    """As JSON."""
    if limit is None:
        return None
    return {
        "requests": limit.requests,
        "windowSeconds": limit.window_seconds,
        "burst": limit.burst,
    }


def dimensions_content(pricing: DimensionPricing | None) -> dict[str, Any] | None:
    """As JSON; decimals are text."""
    if pricing is None:
        return None
    return {
        **_agreed({"field": pricing.field}),
        "values": {
            each.value: _agreed({"multiplier": _text(each.multiplier), "price": _text(each.price)})
            for each in pricing.values
        },
    }


def rollover_content(rollover: Rollover | None) -> dict[str, Any] | None:
    """As JSON; decimals are text."""
    if rollover is None:
        return None
    return {"enabled": True, **_agreed({"cap": _text(rollover.cap)})}


def _price_content(price: UnitPrice, unit: Unit) -> dict[str, Any]:
    conditions = [{"field": c.field, "operator": c.operator, "value": c.value} for c in unit.filters]
    return {
        "unit": unit.key,
        "unitName": unit.name,
        "aggregation": unit.aggregation,
        "eventField": unit.event_field,
        "filters": conditions,
        "model": price.model,
        "rate": _text(price.rate),
        "flatAmount": _text(price.flat_amount),
        "includedFree": _text(price.included_free),
        "blockSize": _text(price.block_size),
        "blockRateBasis": price.block_rate_basis,
        "minFee": _text(price.min_fee),
        "perEventFee": _text(price.per_event_fee),
        "perEventMin": _text(price.per_event_min),
        "perEventMax": _text(price.per_event_max),
        "tiers": [
            {"upTo": _text(tier.up_to), "unitPrice": _text(tier.unit_price), "flatFee": _text(tier.flat_fee)}
            for tier in price.tiers
        ],
        **_agreed(
            {
                "limit": _text(price.limit),
                "ovBehavior": _unless(price.overage, "CHARGE"),
                "rollover": rollover_content(price.rollover),
                "billingTiming": _unless(price.timing, "ARREARS"),
                "dimensionPricing": dimensions_content(price.dimensions),
                "taxCategory": price.tax_category,
            }
        ),
    }


def _price_of(content: Mapping[str, Any]) -> UnitPrice:
    later = content.get
    return UnitPrice(
        unit=content["unit"],
        model=content["model"],
        rate=_decimal(content["rate"]),
        flat_amount=_decimal(content["flatAmount"]),
        included_free=Decimal(content["includedFree"]),
        block_size=_decimal(content["blockSize"]),
        block_rate_basis=content["blockRateBasis"],
        min_fee=_decimal(content["minFee"]),
        per_event_fee=_decimal(content["perEventFee"]),
        per_event_min=_decimal(content["perEventMin"]),
        per_event_max=_decimal(content["perEventMax"]),
        tiers=tuple(
            Tier(_decimal(tier["upTo"]), Decimal(tier["unitPrice"]), Decimal(tier["flatFee"]))
            for tier in content["tiers"]
        ),
        limit=_decimal(later("limit")),
        overage=later("ovBehavior", "CHARGE"),
        rollover=_rollover_of(later("rollover")),
        timing=later("billingTiming", "ARREARS"),
        dimensions=_dimensions_of(later("dimensionPricing")),
        tax_category=later("taxCategory"),
    )


def _commitment_of(content: Mapping[str, Any] | None) -> Commitment | None:
    if content is None:
        return None
    return Commitment(
        content["type"],
        Decimal(content["amount"]),
        content["trueUp"],
        Decimal(content["overageFactor"]),
        content["termMonths"],
    )


def _rate_limit_of(content: Mapping[str, Any] | None) -> RateLimit | None:
    if content is None:
        return None
    return RateLimit(content["requests"], content["windowSeconds"], content["burst"])


def _rollover_of(content: Mapping[str, Any] | None) -> Rollover | None:
    return None if content is None else Rollover(_decimal(content.get("cap")))


def _dimensions_of(content: Mapping[str, Any] | None) -> DimensionPricing | None:
    if content is None:
        return None
    values = content["values"].items()
    priced = (DimensionPrice(v, _decimal(p.get("multiplier")), _decimal(p.get("price"))) for v, p in values)
    return DimensionPricing(content.get("field"), tuple(sorted(priced, key=lambda each: each.value)))


def _agreed(terms: Mapping[str, Any]) -> dict[str, Any]:
    """The terms that are agreed; absent ones leave no trace."""
    return {name: value for name, value in terms.items() if value not in (None, [])}


def _unless(value: str, default: str) -> str | None:
    return None if value == default else value


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)
