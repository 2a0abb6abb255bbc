"""What is sent about subscriptions. Put here: shapes and examples for the API reference. Keep out: rules (domain.subscription)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Literal

from pydantic import ConfigDict, Field

from api.control.bodies import Body

LIMITS = (
    "How much of a unit may be used in a period, in place of what the plan says; ovBehavior beyond it: BLOCK (the usual), "
    "CHARGE or IGNORE."
)
SPEND = (
    "What usage of all units may cost in a period, in the currency of the plan, before discounts and tax; ovBehavior beyond it: BLOCK "
    "(the usual) and IGNORE bill none of it, CHARGE all."
)
SPENT: dict[str, Any] = {"amount": "500", "ovBehavior": "BLOCK"}
LIMITED: list[dict[str, Any]] = [{"unit": "api_calls", "limit": 10000, "ovBehavior": "BLOCK"}]


class NewSubscription(Body):
    """A subscription to agree."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "customerId": "ann",
                    "offeringId": "pro",
                    "billingCycle": "MONTHLY",
                    "startDate": "2026-03-01",
                }
            ]
        }
    )

    id: str | None = Field(None, description="Yours; made if left out.")
    customer_id: str | None = Field(None, description="Required: the customer.")
    offering_id: str | None = Field(None, description="Required: code of an ACTIVE offering.")
    billing_cycle: str | None = Field(None, description="MONTHLY, QUARTERLY or ANNUAL.", examples=["MONTHLY"])
    start_date: date | str | None = Field(
        None, description="First day, YYYY-MM-DD, in the customer's time zone; today."
    )
    end_date: date | str | None = Field(None, description="First day without it.")
    start_trial: bool | None = Field(None, description="Begin with a trial, for the offering's trial days.")
    trial_ends_at: str | int | None = Field(None, description="End of the trial, an instant.")
    auto_convert_paid: bool | None = Field(None, description="After the trial: billed (true) or paused.")
    billing_anchor_day: int | None = Field(None, description="Day of the month periods begin on, 1 to 31.")
    billing_entity_id: str | None = Field(None, description="Who issues its invoices; the tenant's default.")
    billing_threshold: Decimal | str | None = Field(
        None,
        description="Accrued spend before tax at which an interim invoice is cut; never.",
        examples=["500"],
    )
    usage_limits: list[dict[str, Any]] | None = Field(None, description=LIMITS, examples=[LIMITED])
    spend_limit: dict[str, Any] | None = Field(None, description=SPEND, examples=[SPENT])


class Threshold(Body):
    """When interim invoices are cut."""

    billing_threshold: Decimal | str | None = Field(
        None,
        description="Accrued spend before tax, in the customer's currency; null: never.",
        examples=["500"],
    )


class UsageLimits(Body):
    """All limits of the subscription."""

    usage_limits: list[dict[str, Any]] = Field(description=LIMITS, examples=[LIMITED])
    spend_limit: dict[str, Any] | None = Field(None, description=SPEND + " Left out: none.", examples=[SPENT])


class Reason(Body):
    """Why."""

    reason: str | None = Field(None, examples=["asked by the customer"])


class Cancellation(Body):
    """How to end it."""

    reason: str | None = Field(None, examples=["too expensive"])
    effective: str | None = Field(
        None, description="IMMEDIATE (default) or PERIOD_END.", examples=["PERIOD_END"]
    )


class OfferingChange(Body):
    """Another offering."""

    target_offering_id: str | None = Field(None, description="Required: code of an ACTIVE offering.")
    reason: str | None = Field(None, examples=["needs more"])
    effective: str | None = Field(
        None, description="IMMEDIATE (default) or PERIOD_END.", examples=["IMMEDIATE"]
    )


class Migration(Body):
    """Another offering, at once, with what it refunds."""

    target_offering_id: str | None = Field(None, description="Required: code of an ACTIVE offering.")
    reason: str | None = None
    auto_settle_refund: bool | None = Field(None, description="Give a refund back by the next bill.")


class PaymentOutcome(Body):
    """How a payment attempt went."""

    outcome: Literal["SUCCEEDED", "FAILED"] | None = Field(
        None, description="As the payment provider says; if left out, unpaid invoices decide."
    )
    reason: str | None = None
