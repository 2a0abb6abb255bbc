"""The decision behind canAccess."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from domain.access import CustomerRights, Feature, SubscriptionRights, UnitRecord
from domain.entitlement import Decision, decide, grants_of

UNITS = {
    "calls": UnitRecord("calls", "Calls", "COUNT"),
    "p95": UnitRecord("p95", "Latency", "PERCENTILE_95"),
    "extra": UnitRecord("extra", "Extra", "SUM"),
}
NOW, START, END = 50, 0, 100


def subscription(
    *features: Feature, plan: str = "pro", periods: tuple[tuple[int, int], ...] = ((START, END),)
):  # type: ignore[no-untyped-def]
    return SubscriptionRights("s_" + plan, "o", plan, "ACTIVE", periods, features, ("calls", "extra"))


def ask(rights: CustomerRights | None, wanted: str, **counted: int) -> Decision:
    grants = grants_of(rights, UNITS, NOW, wanted) if rights else []
    return decide(rights, grants, {f"{unit}|{START}": amount for unit, amount in counted.items()})


CALLS = Feature("requests", "METERED", unit="calls", limit="10")


@pytest.mark.parametrize(
    ("feature", "used", "allowed", "reason"),
    [
        (CALLS, 9_999_999, True, "QUOTA_LEFT"),
        (CALLS, 10_000_000, False, "QUOTA_EXCEEDED"),
        (
            Feature("requests", "METERED", unit="calls", limit="10", hard=False),
            10_000_000,
            True,
            "SOFT_LIMIT_EXCEEDED",
        ),
        (Feature("requests", "METERED", unit="calls"), 99_000_000, True, "UNLIMITED"),
        (Feature("requests", "METERED", unit="p95", limit="10"), 0, True, "NOT_COUNTED"),
        (Feature("requests", "BOOLEAN"), 0, True, "ALLOWED"),
        (Feature("requests", "BOOLEAN", enabled=False), 0, False, "FEATURE_DISABLED"),
        (Feature("requests", "STATIC", value="eu"), 0, True, "ALLOWED"),
    ],
)
def test_each_kind_of_feature_decides(feature: Feature, used: int, allowed: bool, reason: str) -> None:
    decision = ask(CustomerRights("acme", (subscription(feature),)), "requests", calls=used)
    assert (decision.allowed, decision.reason) == (allowed, reason)


def test_what_is_left_is_exact_and_never_below_zero() -> None:
    rights = CustomerRights("acme", (subscription(CALLS),))
    assert ask(rights, "requests", calls=2_500_000).remaining == Decimal("7.5")
    assert ask(rights, "requests", calls=12_000_000).remaining == 0
    assert str(ask(rights, "requests", calls=1_000_000).used) == "1"


def test_a_metered_feature_is_found_by_its_unit_too() -> None:
    assert ask(CustomerRights("acme", (subscription(CALLS),)), "Calls").feature == "requests"


def test_a_unit_the_plan_prices_is_granted_without_limit() -> None:
    assert ask(CustomerRights("acme", (subscription(CALLS),)), "extra").reason == "UNLIMITED"


def test_the_best_subscription_decides() -> None:
    more = Feature("requests", "METERED", unit="calls", limit="20")
    rights = CustomerRights("acme", (subscription(CALLS), subscription(more, plan="plus")))
    decision = ask(rights, "requests", calls=12_000_000)
    assert (decision.allowed, decision.plan, decision.remaining) == (True, "plus", Decimal(8))


def test_outside_every_period_nothing_metered_is_allowed() -> None:
    rights = CustomerRights("acme", (subscription(CALLS, periods=((60, 90),)),))
    assert ask(rights, "requests").reason == "NO_CURRENT_PERIOD"


@pytest.mark.parametrize(
    ("rights", "reason"),
    [
        (None, "UNKNOWN_CUSTOMER"),
        (CustomerRights("acme"), "NO_SUBSCRIPTION"),
        (CustomerRights("acme", (subscription(),)), "FEATURE_NOT_IN_PLAN"),
    ],
)
def test_a_refusal_says_why(rights: CustomerRights | None, reason: str) -> None:
    decision = ask(rights, "requests")
    assert (decision.allowed, decision.reason) == (False, reason)


@pytest.mark.parametrize(
    ("feature", "unfunded", "allowed", "reason"),
    [
        (CALLS, "BLOCK", False, "INSUFFICIENT_BALANCE"),
        (CALLS, "ALERT", True, "BALANCE_USED_UP"),
        (Feature("requests", "BOOLEAN"), "BLOCK", False, "INSUFFICIENT_BALANCE"),
        (Feature("requests", "BOOLEAN", enabled=False), "BLOCK", False, "FEATURE_DISABLED"),
    ],
)
def test_an_empty_wallet_blocks_or_alerts_as_the_offering_says(
    feature: Feature, unfunded: str, allowed: bool, reason: str
) -> None:
    rights = CustomerRights("acme", (replace(subscription(feature), unfunded=unfunded),))
    decision = ask(rights, "requests")
    assert (decision.allowed, decision.reason) == (allowed, reason)
