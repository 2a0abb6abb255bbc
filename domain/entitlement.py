"""Whether a customer may use something now. Put here: the decision behind canAccess. Keep out: Redis, HTTP, clocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from domain.access import CustomerRights, Feature, MarginLevel, SubscriptionRights, UnitRecord
from domain.counters import OPERATIONS, counter_field
from domain.quantity import MICRO, plain

ALLOWED = "ALLOWED"
UNLIMITED = "UNLIMITED"
QUOTA_LEFT = "QUOTA_LEFT"
SOFT_LIMIT_EXCEEDED = "SOFT_LIMIT_EXCEEDED"
QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
NOT_COUNTED = "NOT_COUNTED"
FEATURE_DISABLED = "FEATURE_DISABLED"
FEATURE_NOT_IN_PLAN = "FEATURE_NOT_IN_PLAN"
NO_CURRENT_PERIOD = "NO_CURRENT_PERIOD"
NO_SUBSCRIPTION = "NO_SUBSCRIPTION"
UNKNOWN_CUSTOMER = "UNKNOWN_CUSTOMER"
INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
BALANCE_USED_UP = "BALANCE_USED_UP"
MARGIN_BLOCKED = "MARGIN_BLOCKED"
_NONE: Mapping[str, int] = {}
_NEVER = 2**63 - 1


class Grant(NamedTuple):
    """A feature as one subscription gives it. counter: the field that counts its use, None where nothing is counted.
    ends_at: end of the current billing period in epoch microseconds, None where the subscription has none now. quota: the feature's
    limit, None: none."""

    subscription: SubscriptionRights
    feature: Feature
    counter: str | None
    ends_at: int | None
    quota: Decimal | None = None


class Decision(NamedTuple):
    """The answer. quota, used, remaining: exact units, None where there is no limit or no count. remaining is never
    below 0, and without what is reserved. resets_at: epoch microseconds. value: what a STATIC feature holds. balance: what is
    left in the wallet of a PREPAID subscription."""

    allowed: bool
    reason: str
    feature: str | None = None
    type: str | None = None
    plan: str | None = None
    value: str | None = None
    quota: Decimal | None = None
    used: Decimal | None = None
    remaining: Decimal | None = None
    resets_at: int | None = None
    hard: bool = True
    reserved: Decimal | None = None
    balance: Decimal | None = None


def grants_of(
    rights: CustomerRights, units: Mapping[str, UnitRecord], now: int, wanted: str | None = None
) -> list[Grant]:
    """The grants for a feature, or for a billable unit by key or name; all grants when nothing particular is wanted.

    A unit the plan prices without naming it as a feature is granted without limit. now: epoch microseconds.
    """
    unit = units.get(wanted.lower()) if wanted else None
    found = []
    for subscription in rights.subscriptions:
        features = [f for f in subscription.features if wanted is None or _is_meant(f, wanted, unit)]
        if not features and unit is not None and unit.key in subscription.units:
            features = [Feature(key=unit.key, type="METERED", unit=unit.key)]
        period = next((p for p in subscription.periods if p[0] <= now < p[1]), None)
        found += [_grant(subscription, feature, units, period) for feature in features]
    return found


def next_change(rights: CustomerRights, now: int) -> int:
    """The first instant after `now` at which a period begins or ends, so that `grants_of` may say otherwise; epoch microseconds."""
    edges = (edge for each in rights.subscriptions for period in each.periods for edge in period)
    return min((edge for edge in edges if edge > now), default=_NEVER)


def decide(
    rights: CustomerRights | None,
    grants: Iterable[Grant],
    counted: Mapping[str, int],
    held: Mapping[str, int] = _NONE,
    margin: MarginLevel | None = None,
) -> Decision:
    """The best answer any subscription gives. counted, held: millionths used and reserved by counter field; an absent field
    counts as 0. margin: how far the customer is restricted; a block refuses everything."""
    if rights is None:
        return Decision(False, UNKNOWN_CUSTOMER)
    if not rights.subscriptions:
        return Decision(False, NO_SUBSCRIPTION)
    decisions = [decide_one(grant, counted, held) for grant in grants]
    if not decisions:
        return Decision(False, FEATURE_NOT_IN_PLAN, plan=rights.subscriptions[0].plan)
    best = max(decisions, key=_rank)
    if margin is not None and margin.level == "L3_BLOCK" and best.allowed:
        return best._replace(allowed=False, reason=MARGIN_BLOCKED)
    return best


def decide_one(grant: Grant, counted: Mapping[str, int], held: Mapping[str, int] = _NONE) -> Decision:
    """What one grant says. With the wallet empty, a prepaid subscription refuses what it would allow, or says so (ALERT)."""
    decision = _by_feature(grant, counted, held)
    if grant.subscription.balance is not None:
        decision = decision._replace(balance=Decimal(grant.subscription.balance))
    if not decision.allowed or not grant.subscription.unfunded:
        return decision
    blocks = grant.subscription.unfunded == "BLOCK"
    return decision._replace(allowed=not blocks, reason=INSUFFICIENT_BALANCE if blocks else BALANCE_USED_UP)


def _by_feature(grant: Grant, counted: Mapping[str, int], held: Mapping[str, int]) -> Decision:
    feature = grant.feature
    answer = partial(Decision, feature=feature.key, type=feature.type, plan=grant.subscription.plan)
    if not feature.enabled:
        return answer(False, FEATURE_DISABLED)
    if feature.type != "METERED":
        return answer(True, ALLOWED, value=feature.value)
    if grant.ends_at is None:
        return answer(False, NO_CURRENT_PERIOD)
    quota = grant.quota
    if grant.counter is None:
        reason = UNLIMITED if quota is None else NOT_COUNTED
        return answer(True, reason, quota=quota, resets_at=grant.ends_at)
    used = used_of(counted, grant.counter)
    if quota is None:
        return answer(True, UNLIMITED, used=used, resets_at=grant.ends_at)
    reserved = _neat(Decimal(held[grant.counter]).scaleb(-6)) if grant.counter in held else None
    left = quota - used - (reserved or 0)
    allowed, reason = _within(left > 0, feature.hard)
    return answer(
        allowed,
        reason,
        quota=quota,
        used=used,
        remaining=_neat(max(left, Decimal(0))),
        resets_at=grant.ends_at,
        hard=feature.hard,
        reserved=reserved,
    )


def summary(rights: CustomerRights) -> dict[str, bool | str | Decimal | None]:
    """What the customer's plans hold, without usage: BOOLEAN to true or false, STATIC to its value, METERED to its
    limit (None: unlimited). Where several subscriptions hold a feature, the first one's."""
    held: dict[str, bool | str | Decimal | None] = {}
    for subscription in rights.subscriptions:
        for feature in subscription.features:
            held.setdefault(feature.key, _held(feature))
    return held


def _is_meant(feature: Feature, wanted: str, unit: UnitRecord | None) -> bool:
    return feature.key.lower() == wanted.lower() or (unit is not None and feature.unit == unit.key)


def _grant(
    subscription: SubscriptionRights,
    feature: Feature,
    units: Mapping[str, UnitRecord],
    period: tuple[int, int] | None,
) -> Grant:
    unit = units.get(feature.unit.lower()) if feature.unit else None
    counter = None
    if period is not None and unit is not None and unit.aggregation in OPERATIONS:
        counter = counter_field(unit.key, period[0])
    quota = None if feature.limit is None else Decimal(feature.limit)
    return Grant(subscription, feature, counter, period[1] if period else None, quota)


def _within(left: bool, hard: bool) -> tuple[bool, str]:
    if left:
        return True, QUOTA_LEFT
    return (False, QUOTA_EXCEEDED) if hard else (True, SOFT_LIMIT_EXCEEDED)


def used_of(counted: Mapping[str, int], field: str) -> Decimal:
    """What a counter holds, in units; an absent one holds nothing."""
    whole, rest = divmod(counted.get(field, 0), MICRO)
    return Decimal(whole) if rest == 0 else _neat(Decimal(whole) + Decimal(rest).scaleb(-6))


def _neat(amount: Decimal) -> Decimal:
    """The same amount without needless zeros: what people read is 3, not 3.000000."""
    return Decimal(plain(amount))


def _rank(decision: Decision) -> tuple[bool, bool, Decimal]:
    """Allowed beats refused, unlimited beats limited, more beats less."""
    return decision.allowed, decision.quota is None, decision.remaining or Decimal(0)


def _held(feature: Feature) -> bool | str | Decimal | None:
    if feature.type == "BOOLEAN":
        return feature.enabled
    if feature.type == "STATIC":
        return feature.value
    return None if feature.limit is None else Decimal(feature.limit)
