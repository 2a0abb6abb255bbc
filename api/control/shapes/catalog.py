"""Shapes of what is sold and at which price. Keep out: who buys it, rules."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.control.shapes.shown import Exact, Instant, Kept, Object, Shown


class Product(Kept):
    """A product; `units` are the ids of the metrics that meter it."""

    id: str
    key: str
    name: str
    type: str = Field(examples=["API"])
    description: str | None
    audience: str | None
    maturity_stage: str | None
    status: str = Field(examples=["ACTIVE"])
    metadata: Object
    units: list[str]


class FilterCondition(Shown):
    """Which events count."""

    field: str
    operator: str
    value: Any


class ExportedMetric(Shown):
    """A unit as an import reads it."""

    key: str
    name: str
    unit_label: str | None
    aggregation_type: str = Field(examples=["COUNT"])
    event_field: str | None
    product_types: list[str]
    description: str | None
    required: bool
    category: str | None
    filter_conditions: list[FilterCondition]
    allow_negative: bool
    status: str = Field(examples=["ACTIVE"])


class Metric(ExportedMetric, Kept):
    """A billable unit; `template`: the one it was made from."""

    id: str
    template: str | None


class MetricTemplate(Shown):
    """A unit that is usual for a type of product."""

    key: str
    name: str
    unit_label: str | None
    aggregation_type: str
    event_field: str | None
    description: str | None
    required: bool
    category: str | None


class DeletionReason(Shown):
    """What stands in the way, or would be affected."""

    code: str = Field(examples=["ACTIVE_SUBSCRIPTIONS"])
    message: str
    count: int
    ids: list[str]


class DeletionCheck(Shown):
    """What archiving would do; `confirmToken` is there where a warning must be confirmed."""

    decision: str = Field(examples=["ALLOW"], json_schema_extra={"enum": ["ALLOW", "WARN", "BLOCK"]})
    reasons: list[DeletionReason]
    confirm_token: str | None = None


class Tier(Shown):
    """A band of usage; `tierEnd` -1: open."""

    tier_start: Exact
    tier_end: Exact
    unit_price: Exact
    flat_fee: Exact
    sort_order: int


class Rollover(Shown):
    """Unused free units carry over."""

    enabled: bool
    cap: Exact | None = None


class MetricPrice(Shown):
    """How a plan prices a metric; terms that are not agreed are left out."""

    metric_id: str
    metric_name: str
    model: str = Field(examples=["PER_UNIT"])
    rate: Exact
    included_free: Exact
    billing_timing: str = Field(examples=["ARREARS"])
    ov_behavior: str = Field(examples=["CHARGE"])
    flat_rate: Exact | None = None
    block_size: Exact | None = None
    block_rate_basis: str | None = None
    min_fee: Exact | None = None
    per_event_fee: Exact | None = None
    per_event_min: Exact | None = None
    per_event_max: Exact | None = None
    limit: Exact | None = None
    rollover: Rollover | None = None
    dimension_pricing: Object | None = None
    tiers: list[Tier] | None = None


class Commitment(Shown):
    """Spend agreed beforehand."""

    type: str = Field(examples=["ANNUAL"])
    amount: Exact
    true_up: bool
    overage_factor: Exact
    term_months: int | None = None


class RequestLimit(Shown):
    """Requests let through in a window."""

    requests: int
    window_seconds: int
    burst: int


class PlanTerms(Shown):
    """What a version of a rate plan says; terms that are not agreed are left out."""

    id: str
    name: str
    description: str | None
    currency: str
    pricing_model: str | None = None
    product_ids: list[str]
    base_fee: Exact | None = None
    base_fee_timing: str | None = None
    setup_fee: Exact | None = None
    minimum_spend: Exact | None = None
    maximum_spend: Exact | None = None
    commitment: Commitment | None = None
    rate_limit: RequestLimit | None = None
    dimension_pricing: Object | None = None
    metric_configs: list[MetricPrice]
    version: int
    status: str = Field(examples=["PUBLISHED"])
    published_at: Instant | None
    effective_at: Instant | None


class RatePlan(PlanTerms, Kept):
    """A rate plan as its latest version says; `draftVersion`: one that is not published yet."""

    draft_version: int | None


class RatePlanVersion(PlanTerms):
    """A version of a rate plan; only a draft has a revision."""

    revision: int | None = None


class PlanChange(Shown):
    """One difference; null: it is not there."""

    path: str
    before: Any
    after: Any


class PlanDiff(Shown):
    """What differs between two versions."""

    from_: int = Field(alias="from")
    to: int
    changes: list[PlanChange]


class PricedTier(Shown):
    """What a tier came to."""

    up_to: Exact | None
    quantity: Exact
    unit_price: Exact
    flat_fee: Exact
    amount: Exact


class PricedLine(Shown):
    """What a metric or a fee came to."""

    metric_id: str | None
    description: str
    model: str
    quantity: Exact | None
    included: Exact
    billable: Exact | None
    uncharged: Exact
    unrounded: Exact
    amount: Exact
    tiers: list[PricedTier]


class Calculation(Shown):
    """What quantities would cost in a period; `notIncluded`: terms such a calculation leaves out."""

    currency: str
    lines: list[PricedLine]
    adjustment: Exact
    total: Exact
    not_included: list[str]


class PlanRateLimit(Shown):
    """The rate limit of a plan; null where it has none."""

    rate_plan_id: str
    requests: int | None
    window_seconds: int | None
    burst: int | None


class Offering(Kept):
    """An offering."""

    id: str
    code: str
    name: str
    description: str | None
    type: str = Field(examples=["STANDALONE"])
    status: str = Field(examples=["ACTIVE"])
    primary_rate_plan_id: str
    rate_plan_ids: list[str]
    billing_mode: str = Field(examples=["POSTPAID"])
    currency: str
    trial_days: int
    escrow_config: Object | None
    fx_strategy: str
    entitlements: list[Object]


class DiscountTerms(Shown):
    """What a coupon takes off: a fraction (0.1 is 10 %) or an amount."""

    coupon_id: str
    code: str
    discount_type: str = Field(examples=["PERCENTAGE"])
    discount_value: Exact
    currency: str | None


class Coupon(DiscountTerms, Kept):
    """A coupon."""

    id: str
    name: str
    description: str | None
    duration: str = Field(examples=["ONCE"])
    duration_in_months: int | None
    max_redemptions: int | None
    max_redemptions_per_customer: int | None
    redemption_count: int
    valid_from: Instant | None
    valid_until: Instant | None
    applies_to: list[str]
    status: str


class Redemption(DiscountTerms):
    """A coupon attached to a subscription."""

    redemption_id: str
    customer_id: str
    subscription_id: str
    applies_from: Instant
    applies_until: Instant | None
    redeemed_at: Instant
