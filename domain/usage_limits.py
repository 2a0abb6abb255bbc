"""Limits of one subscription on usage. Put here: what they are, how they are read and written, what they make of terms and
features. Keep out: limits in rate plans (terms_agreed.py), counting usage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from domain.access import Feature
from domain.catalog.fields import FieldProblem, Fields, required
from domain.quantity import plain
from domain.terms_by_dimension import adds_up

BEHAVIORS = ("CHARGE", "BLOCK", "IGNORE")


@dataclass(frozen=True, slots=True)
class UsageLimit:
    """How much of a unit the subscription may use in a billing period, in place of what its plan says. behavior: what becomes of
    usage beyond it: CHARGE bills it, BLOCK refuses it at the edge and bills none of it, IGNORE lets it pass unbilled."""

    unit: str
    limit: Decimal
    behavior: str = "BLOCK"


def read_usage_limits(fields: Fields) -> tuple[UsageLimit, ...]:
    """`usageLimits` of a subscription, by unit. Raises FieldProblem."""
    found: dict[str, UsageLimit] = {}
    for path, item in fields.items("usageLimits"):
        inner = Fields(item, path)
        limit = UsageLimit(
            unit=inner.key("unit", "metricId", "metricName"),
            limit=required(inner, "limit", inner.quantity("limit")),
            behavior=inner.choice("ovBehavior", BEHAVIORS, "BLOCK"),
        )
        inner.done()
        if limit.unit in found:
            raise FieldProblem(f"{path}.unit", f"{limit.unit!r} is limited twice; limit it once")
        found[limit.unit] = limit
    return tuple(found[unit] for unit in sorted(found))


def require_priced(limits: Iterable[UsageLimit], units: Iterable[str], field: str = "usageLimits") -> None:
    """Raises FieldProblem for a limit on a unit that is not among those the subscription pays for."""
    priced = set(units)
    for place, each in enumerate(limits):
        if each.unit not in priced:
            what = f"{each.unit!r} is not priced by the subscription's plan; limit one of {', '.join(sorted(priced))}"
            raise FieldProblem(f"{field}[{place}].unit", what)


def written_limits(limits: Iterable[UsageLimit]) -> list[dict[str, Any]]:
    """As JSON, as `read_usage_limits` reads it back; decimals are text."""
    return [{"unit": each.unit, "limit": plain(each.limit), "ovBehavior": each.behavior} for each in limits]


def stored_limits(content: Iterable[Mapping[str, Any]]) -> tuple[UsageLimit, ...]:
    """What `written_limits` was made from."""
    return tuple(UsageLimit(each["unit"], Decimal(each["limit"]), each["ovBehavior"]) for each in content)


def limited(item: Mapping[str, Any], limits: Iterable[UsageLimit]) -> Mapping[str, Any]:
    """A priced item of a plan (see domain.terms) under the subscription's limits. Prices by dimension share the unit's, which stands on
    the unit's own line; of a unit that is neither counted nor summed they cannot, and are held."""
    mine = next((each for each in limits if each.unit == item["unit"]), None)
    if mine is None:
        return item
    if item["dimension_fields"] and mine.behavior != "CHARGE" and not adds_up(item):
        what = "a price by dimension under the subscription's hard limit, of a unit that is neither counted nor summed"
        return {**item, "unsupported": what}
    own = item["dimension_value"] is None
    return {**item, "cap": mine.limit if own else None, "cap_behavior": mine.behavior, "cap_carries": None}


def limited_features(features: Iterable[Feature], limits: Iterable[UsageLimit]) -> tuple[Feature, ...]:
    """What the edge lets the customer do: metered features of a limited unit take the subscription's limit; a unit that is to be
    blocked and has no feature gets one named after it."""
    found = list(features)
    for each in limits:
        hard = each.behavior == "BLOCK"
        metered = [feature for feature in found if feature.type == "METERED" and feature.unit == each.unit]
        limit = None if each.behavior == "IGNORE" else plain(each.limit)
        for feature in metered:
            found[found.index(feature)] = replace(feature, limit=limit, hard=hard)
        if hard and not metered and all(feature.key != each.unit for feature in found):
            found.append(Feature(key=each.unit, type="METERED", unit=each.unit, limit=limit, hard=True))
    return tuple(found)
