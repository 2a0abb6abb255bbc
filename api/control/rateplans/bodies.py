"""Bodies about rate plans. Put here: their fields, for the API reference. Keep out: what is valid (domain.catalog.plan_reading)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import ConfigDict, Field

from api.control.bodies import Body, Instant

_MODELS = "PER_UNIT, FLAT_RATE, PERCENTAGE, INCLUDED_QUOTA, GRADUATED or VOLUME_TIERED"
EXAMPLE: dict[str, Any] = {
    "name": "Pro",
    "description": "For teams",
    "pricingModel": "GRADUATED",
    "currency": "USD",
    "baseFee": 49,
    "minimumSpend": 60,
    "metricConfigs": [
        {
            "metricName": "api_calls",
            "model": "GRADUATED",
            "rate": 0,
            "includedFree": 1000,
            "billingTiming": "ARREARS",
            "ovBehavior": "CHARGE",
            "tiers": [
                {"tierStart": 0, "tierEnd": 10000, "unitPrice": 0.001, "flatFee": 0, "sortOrder": 0},
                {"tierStart": 10000, "tierEnd": -1, "unitPrice": 0.0008, "flatFee": 0, "sortOrder": 1},
            ],
        }
    ],
}


class TierBody(Body):
    """A band of usage."""

    tier_start: Decimal | None = Field(None, description="Where the tier before ends; 0 for the first.")
    tier_end: Decimal | None = Field(None, description="Inclusive; -1: open, which the last one must be.")
    up_to: Decimal | None = Field(None, description="Another spelling of tierEnd; absent: open.")
    unit_price: Decimal | None = Field(None, examples=["0.001"])
    flat_fee: Decimal | None = Field(None, description="Due once any unit falls in the tier.")
    sort_order: int | None = None


class MetricConfigBody(Body):
    """How the plan prices one metric."""

    metric_id: str | None = Field(None, description="The metric's id; decides where a name is sent too.")
    metric_name: str | None = Field(None, description="The metric's key or name.", examples=["api_calls"])
    model: str | None = Field(None, description=_MODELS + "; PER_UNIT unless said.", examples=["PER_UNIT"])
    rate: Decimal | None = Field(
        None,
        description="Price of a unit or block; PERCENTAGE: a fraction, 0.025 is 2.5 %. 0 for tiers and FLAT_RATE.",
        examples=["0.002"],
    )
    rate_percent: Decimal | None = Field(None, description="PERCENTAGE: in percent, instead of rate.")
    flat_rate: Decimal | None = Field(None, description="FLAT_RATE: the price of the period.")
    included_free: Decimal | None = Field(None, description="Units free of charge in each period.")
    block_size: Decimal | None = Field(
        None, description="INCLUDED_QUOTA: overage is billed in whole blocks of this size."
    )
    block_rate_basis: str | None = Field(None, description="PER_BLOCK (usual) or PER_UNIT.")
    min_fee: Decimal | None = Field(None, description="The least the metric costs in a period.")
    per_event_fee: Decimal | None = Field(None, description="PERCENTAGE: added to each event's charge.")
    per_event_min: Decimal | None = Field(None, description="PERCENTAGE: least charge of an event.")
    per_event_max: Decimal | None = Field(None, description="PERCENTAGE: greatest charge of an event.")
    billing_timing: str | None = Field(
        None, description="ARREARS; only fees are charged in advance: baseFeeTiming."
    )
    limit: Decimal | None = Field(None, description="Usage in a period beyond which ovBehavior applies.")
    ov_behavior: str | None = Field(
        None, description="Beyond the limit, or beyond the free units: CHARGE (usual), BLOCK or IGNORE."
    )
    rollover: Any = Field(
        None,
        description="Unused free units carry over: {enabled, cap}.",
        examples=[{"enabled": True, "cap": 500}],
    )
    dimension_pricing: dict[str, Any] | None = Field(
        None,
        description="Prices by a field of the event: {field, values: {value: {multiplier} or {price}}}.",
        examples=[{"field": "tool_name", "values": {"search": {"multiplier": 2}}}],
    )
    tiers: list[TierBody] | None = Field(None, description="GRADUATED, VOLUME_TIERED: rising, the last open.")


class RatePlanEdit(Body):
    """The fields to change; null clears one."""

    name: str | None = Field(None, examples=["Pro"])
    description: str | None = Field(None, examples=["For teams"])
    pricing_model: str | None = Field(None, description="The primary model: " + _MODELS + ".")
    currency: str | None = Field(None, description="ISO 4217; the tenant's unless said. It never changes.")
    base_fee: Decimal | None = Field(None, description="Due for each period, used or not.", examples=[49])
    base_fee_timing: str | None = Field(None, description="ARREARS (usual) or ADVANCE.")
    setup_fee: Decimal | None = Field(None, description="Due once.")
    minimum_spend: Decimal | None = Field(None, description="The least a subscription pays for a period.")
    maximum_spend: Decimal | None = Field(None, description="The most a subscription pays for a period.")
    commitment: dict[str, Any] | None = Field(
        None,
        description="Spend agreed beforehand: type PREPAID, MONTHLY or ANNUAL, amount, trueUp, overageFactor, termMonths.",
        examples=[
            {"type": "ANNUAL", "amount": 12000, "trueUp": True, "overageFactor": 1.2, "termMonths": 12}
        ],
    )
    rate_limit: dict[str, Any] | None = Field(
        None,
        description="Requests let through: requests, windowSeconds (60), burst (0).",
        examples=[{"requests": 600, "windowSeconds": 60, "burst": 50}],
    )
    dimension_pricing: dict[str, Any] | None = Field(
        None, description="Multipliers for the whole plan, by value.", examples=[{"gpt-large": 3}]
    )
    product_ids: list[str] | None = Field(None, description="Products the plan is made for.")
    metric_configs: list[MetricConfigBody] | None = None
    status: str | None = Field(
        None, description="DRAFT: do not publish yet. PUBLISHED unless said.", examples=["PUBLISHED"]
    )


class RatePlanBody(RatePlanEdit):
    """A rate plan."""

    model_config = ConfigDict(json_schema_extra={"required": ["name"], "example": EXAMPLE})


class PublishBody(Body):
    """When the version takes effect."""

    effective_at: Instant | None = Field(
        None,
        description="Only subscriptions that start then or later pin it; absent: every new one does.",
        examples=["2026-01-01T00:00:00Z"],
    )


class RateLimitBody(Body):
    """Requests let through in a window."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"requests": 600, "windowSeconds": 60, "burst": 50}}
    )

    requests: int | None = None
    window_seconds: int | None = Field(None, description="60 unless said.")
    burst: int | None = Field(None, description="More at once; 0 unless said.")


class PriceBody(Body):
    """Usage to be priced."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"quantities": {"api_calls": 15000}}, "required": ["quantities"]}
    )

    quantities: dict[str, Any] | None = Field(
        None, description="By metric: the period's value, or a list of the events' quantities."
    )
    version: int | None = Field(None, description="Which version; the latest unless said.")
