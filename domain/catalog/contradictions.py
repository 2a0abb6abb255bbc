"""What may not change any more. Put here: comparing what is asked for with what is agreed. Keep out: references."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from domain.catalog.catalog import Catalog
from domain.catalog.fields import Contradiction

_UNIT_FIXED = {"aggregation": "aggregation", "event_field": "eventField", "filters": "filterConditions"}
_SUBSCRIPTION_FIXED = {
    "customer": "customer", "offering": "offering", "start_date": "startDate", "billing_cycle": "billingCycle",
    "anchor_day": "billingAnchorDay",
}  # fmt: skip
_OFFERING_FIXED = {"plan": "ratePlan", "currency": "currency", "billing_mode": "billingMode"}
_CUSTOMER_FIXED = {"time_zone": "timeZone", "currency": "currency"}


def contradictions(
    asked: Catalog, stored: Catalog, units_in_plans: Collection[str]
) -> Iterator[Contradiction]:
    """Changes that would rewrite what somebody already relies on. units_in_plans: units any stored plan version prices."""
    subscribed_customers = {each.customer for each in stored.subscriptions.values()}
    subscribed_offerings = {each.offering for each in stored.subscriptions.values()}
    for index, (key, unit) in enumerate(asked.units.items()):
        if key in units_in_plans:
            why = "a rate plan prices it; make a new unit instead"
            yield from _changed(f"units[{index}]", stored.units.get(key), unit, _UNIT_FIXED, why)
    for index, (key, offering) in enumerate(asked.offerings.items()):
        if key in subscribed_offerings:
            why = "it has subscriptions; make a new offering instead"
            yield from _changed(
                f"offerings[{index}]", stored.offerings.get(key), offering, _OFFERING_FIXED, why
            )
    for index, (key, customer) in enumerate(asked.customers.items()):
        if key in subscribed_customers:
            why = "it has subscriptions, whose billing periods would move"
            yield from _changed(
                f"customers[{index}]", stored.customers.get(key), customer, _CUSTOMER_FIXED, why
            )
    for index, (key, plan) in enumerate(asked.plans.items()):
        why = "a plan keeps its currency; make a new plan instead"
        yield from _changed(f"ratePlans[{index}]", stored.plans.get(key), plan, {"currency": "currency"}, why)
    for index, (key, subscription) in enumerate(asked.subscriptions.items()):
        old = stored.subscriptions.get(key)
        why = "changing a running subscription is not supported yet; end it (endDate) and start another"
        yield from _changed(f"subscriptions[{index}]", old, subscription, _SUBSCRIPTION_FIXED, why)
        sold = asked.offerings.get(subscription.offering) or stored.offerings.get(subscription.offering)
        if old is None and sold is not None and sold.status != "ACTIVE":
            what = f"{sold.code!r} is {sold.status}; only ACTIVE offerings take new subscriptions"
            yield Contradiction(f"subscriptions[{index}].offering", what)
    for index, (name, api_key) in enumerate(asked.keys.items()):
        fixed = {"customer": "customer", "environment": "environment"}
        why = "a key keeps whom it speaks for; issue one with another name"
        yield from _changed(f"keys[{index}]", stored.keys.get(name), api_key, fixed, why)
    yield from _issuer(asked, stored)


def _issuer(asked: Catalog, stored: Catalog) -> Iterator[Contradiction]:
    old, new = stored.tenant.entity, asked.tenant.entity
    if new.code == old.code:
        fixed = {"invoice_prefix": "invoicePrefix"}
        why = "its invoices are numbered with it"
        yield from _changed("tenant.billingEntity", old, new, fixed, why)
    elif new.invoice_prefix == old.invoice_prefix:
        what = f"{new.invoice_prefix!r} already starts the numbers of {old.code!r}; choose another"
        yield Contradiction("tenant.billingEntity.invoicePrefix", what)


def _changed(path: str, old: object, new: object, fixed: dict[str, str], why: str) -> Iterator[Contradiction]:
    if old is None:
        return
    for attribute, name in fixed.items():
        before, after = getattr(old, attribute), getattr(new, attribute)
        if before != after:
            yield Contradiction(f"{path}.{name}", f"cannot change from {before} to {after}: {why}")
