"""What must hold across a catalog. Put here: references, and terms that exclude each other. Keep out: one noun's fields,
and what changed since last time (contradictions.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from domain.bundles import TWICE, priced_twice
from domain.catalog.catalog import Catalog
from domain.catalog.fields import FieldProblem
from domain.subscription import Subscription


def problems_across(
    asked: Catalog, whole: Catalog, priced: Mapping[str, frozenset[str]]
) -> Iterator[FieldProblem]:
    """All problems of what is asked for within the whole catalog (what is stored with the asked-for on top).

    priced: the units priced by each subscription of the whole catalog, by subscription id.
    """
    yield from _units(asked, whole)
    yield from _products(asked, whole)
    yield from _product_names(asked, whole)
    yield from _plans(asked, whole)
    yield from _offerings(asked, whole)
    for index, coupon in enumerate(asked.coupons.values()):
        for code in coupon.applies_to:
            if code not in whole.offerings:
                yield _unknown(f"coupons[{index}].appliesTo", code, "offering")
    yield from _subscriptions(asked, whole)
    yield from _overlaps(asked, whole, priced)
    for index, key in enumerate(asked.keys.values()):
        if key.customer is not None and key.customer not in whole.customers:
            yield _unknown(f"keys[{index}].customer", key.customer, "customer")


def _units(asked: Catalog, whole: Catalog) -> Iterator[FieldProblem]:
    """Events carry a key or a name, so both together must be unambiguous, whatever the case."""
    meant: dict[str, set[str]] = {}
    for unit in whole.units.values():
        for word in (unit.key, unit.name):
            meant.setdefault(word.lower(), set()).add(unit.key)
    for index, unit in enumerate(asked.units.values()):
        for field, word in (("key", unit.key), ("name", unit.name)):
            others = meant[word.lower()] - {unit.key}
            if others:
                what = f"{word!r} already means unit {min(others)!r}; choose another"
                yield FieldProblem(f"units[{index}].{field}", what)
                break


def _products(asked: Catalog, whole: Catalog) -> Iterator[FieldProblem]:
    for index, product in enumerate(asked.products.values()):
        for at, unit in enumerate(product.units):
            if unit not in whole.units:
                yield _unknown(f"products[{index}].units[{at}]", unit, "unit")
            elif whole.units[unit].status == "ARCHIVED":
                what = f"{unit!r} is archived; restore it first (status ACTIVE)"
                yield FieldProblem(f"products[{index}].units[{at}]", what)


def _product_names(asked: Catalog, whole: Catalog) -> Iterator[FieldProblem]:
    """Two products on offer must not share a name, whatever the case; an archived one has given its name up."""
    named: dict[str, set[str]] = {}
    for product in whole.products.values():
        if product.status != "ARCHIVED":
            named.setdefault(product.name.lower(), set()).add(product.key)
    for index, product in enumerate(asked.products.values()):
        others = named.get(product.name.lower(), set()) - {product.key}
        if others and product.status != "ARCHIVED":
            what = f"{product.name!r} is already the name of product {min(others)!r}; choose another"
            yield FieldProblem(f"products[{index}].name", what)


def _plans(asked: Catalog, whole: Catalog) -> Iterator[FieldProblem]:
    for index, plan in enumerate(asked.plans.values()):
        for at, price in enumerate(plan.prices):
            if price.unit not in whole.units:
                yield _unknown(f"ratePlans[{index}].metrics[{at}].unit", price.unit, "unit")
        for at, product in enumerate(plan.products):
            if product not in whole.products:
                yield _unknown(f"ratePlans[{index}].productIds[{at}]", product, "product")


def _offerings(asked: Catalog, whole: Catalog) -> Iterator[FieldProblem]:
    for index, offering in enumerate(asked.offerings.values()):
        path = f"offerings[{index}]"
        for at, key in enumerate(offering.plans):
            plan = whole.plans.get(key)
            if plan is None:
                yield _unknown(f"{path}.ratePlanIds[{at}]" if at else f"{path}.ratePlan", key, "rate plan")
            elif plan.currency != offering.currency:
                yield FieldProblem(
                    f"{path}.currency",
                    f"{offering.currency} is not {plan.currency}, the currency of plan {plan.key!r}",
                )
        priced = {
            key: {price.unit for price in whole.plans[key].prices}
            for key in offering.plans
            if key in whole.plans
        }
        twice = priced_twice(priced)
        if twice is not None:
            yield FieldProblem(f"{path}.ratePlanIds", TWICE.format(*twice))
        for at, feature in enumerate(offering.features):
            if feature.unit is not None and feature.unit not in whole.units:
                yield _unknown(f"{path}.entitlements[{at}].unit", feature.unit, "unit")


def _subscriptions(asked: Catalog, whole: Catalog) -> Iterator[FieldProblem]:
    for index, subscription in enumerate(asked.subscriptions.values()):
        path = f"subscriptions[{index}]"
        customer = whole.customers.get(subscription.customer)
        offering = whole.offerings.get(subscription.offering)
        if customer is None:
            yield _unknown(f"{path}.customer", subscription.customer, "customer")
        if offering is None:
            yield _unknown(f"{path}.offering", subscription.offering, "offering")


def _overlaps(asked: Catalog, whole: Catalog, priced: Mapping[str, frozenset[str]]) -> Iterator[FieldProblem]:
    """A unit of usage is paid for once: no two subscriptions of a customer may price it at the same time."""
    of_customer: dict[str, list[Subscription]] = {}
    for subscription in whole.subscriptions.values():
        of_customer.setdefault(subscription.customer, []).append(subscription)
    order = {key: at for at, key in enumerate(asked.subscriptions)}
    for index, subscription in enumerate(asked.subscriptions.values()):
        for other in of_customer.get(subscription.customer, []):
            if order.get(other.id, -1) >= index or not subscription.shares_days_with(other):
                continue
            shared = priced[subscription.id] & priced[other.id]
            if shared or subscription.offering == other.offering:
                what = f"unit {min(shared)!r}" if shared else f"offering {other.offering!r}"
                yield FieldProblem(
                    f"subscriptions[{index}].offering",
                    f"{what} of customer {other.customer!r} is already paid for by subscription {other.id!r} at the same "
                    "time; end that one first (endDate)",
                )


def _unknown(path: str, key: str, noun: str) -> FieldProblem:
    return FieldProblem(path, f"{key!r} is no {noun} of this tenant; add it, or correct the name")
