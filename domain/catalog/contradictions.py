"""What may not change any more. Put here: comparing what is asked for with what is agreed. Keep out: references."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from domain.catalog.catalog import Catalog
from domain.catalog.fields import Contradiction

_UNIT_FIXED = {"aggregation": "aggregation", "event_field": "eventField", "filters": "filterConditions"}
_SUBSCRIPTION_FIXED = {
    "customer": "customer", "offering": "offering", "start_date": "startDate", "billing_cycle": "billingCycle",
    "anchor_day": "billingAnchorDay", "start_trial": "startTrial", "trial_ends_at": "trialEndsAt",
    "auto_convert": "autoConvertPaid", "billing_entity": "billingEntityId",
}  # fmt: skip
_OFFERING_FIXED = {
    "plan": "ratePlan", "further_plans": "ratePlanIds", "currency": "currency", "billing_mode": "billingMode",
}  # fmt: skip
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
    yield from _archived(asked, stored)
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
        why = "it is running; a file only ends it (endDate), an upgrade or downgrade changes its offering"
        yield from _changed(f"subscriptions[{index}]", old, subscription, _SUBSCRIPTION_FIXED, why)
        if old is not None and old.ended_at is not None:
            why = "it has ended; start another"
            yield from _changed(f"subscriptions[{index}]", old, subscription, {"end_date": "endDate"}, why)
        sold = asked.offerings.get(subscription.offering) or stored.offerings.get(subscription.offering)
        if old is None and sold is not None and sold.status != "ACTIVE":
            what = f"{sold.code!r} is {sold.status}; only ACTIVE offerings take new subscriptions"
            yield Contradiction(f"subscriptions[{index}].offering", what)
    for index, (name, api_key) in enumerate(asked.keys.items()):
        fixed = {"customer": "customer", "environment": "environment"}
        why = "a key keeps whom it speaks for; issue one with another name"
        yield from _changed(f"keys[{index}]", stored.keys.get(name), api_key, fixed, why)
    yield from _issuer(asked, stored)


def _archived(asked: Catalog, stored: Catalog) -> Iterator[Contradiction]:
    """Archiving looks at who depends on a thing, which a file cannot; and new prices need units that are counted."""
    for section, before in (("units", stored.units), ("products", stored.products)):
        for index, (key, noun) in enumerate(getattr(asked, section).items()):
            if noun.status == "ARCHIVED" and getattr(before.get(key), "status", None) != "ARCHIVED":
                what = f"{key!r} cannot be archived by a file; delete it where its dependants are checked"
                yield Contradiction(f"{section}[{index}].status", what)
    for index, (key, plan) in enumerate(asked.plans.items()):
        old = stored.plans.get(key)
        priced = {price.unit for price in old.prices} if old else set()
        for at, price in enumerate(plan.prices):
            unit = asked.units.get(price.unit) or stored.units.get(price.unit)
            if unit is not None and unit.status == "ARCHIVED" and price.unit not in priced:
                what = f"{price.unit!r} is archived; restore it first (status ACTIVE)"
                yield Contradiction(f"ratePlans[{index}].metrics[{at}].unit", what)


def _issuer(asked: Catalog, stored: Catalog) -> Iterator[Contradiction]:
    old, new = stored.tenant.entity, asked.tenant.entity
    if new.code == old.code:
        fixed = {"invoice_prefix": "invoicePrefix"}
        why = "its invoices are numbered with it"
        yield from _changed("tenant.billingEntity", old, new, fixed, why)
        why = "its books are kept in it; write the one it has, or make another billing entity"
        yield from _changed("tenant.billingEntity", old, new, {"base_currency": "baseCurrency"}, why)
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
