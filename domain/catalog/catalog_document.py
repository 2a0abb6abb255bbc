"""A catalog as a file. Put here: the form that `read_catalog` reads back to the same, without what goes without saying. Keep
out: YAML, which of the nouns belong in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from domain.access import Feature
from domain.catalog.catalog import SECTIONS, Catalog
from domain.catalog.customers import Customer, Tenant, written_customer
from domain.catalog.issuers import written_entity
from domain.catalog.keys import Key
from domain.catalog.offerings import Offering, offering_document
from domain.catalog.plan_documents import plan_document
from domain.catalog.plans import TIERED, RatePlan
from domain.catalog.products import Product, product_document
from domain.catalog.tax_rates import written_tax_rate
from domain.catalog.units import Unit, unit_document
from domain.coupon import Coupon
from domain.organization import OrganizationSettings, written_settings
from domain.people import Accessor, Team, written_accessor, written_team
from domain.quantity import plain
from domain.spend_limit import written_spend_limit
from domain.subscription import Subscription
from domain.usage_limits import written_limits
from domain.webhook_source import written_source

_UNSAID_OF_A_PRICE = {"includedFree": "0", "billingTiming": "ARREARS", "ovBehavior": "CHARGE"}


def catalog_document(catalog: Catalog) -> dict[str, Any]:
    """Tenant, organization, and the lists of SECTIONS by identifier. JSON values; decimals are text; empty lists are left out."""
    document: dict[str, Any] = {"tenant": _tenant(catalog.tenant)}
    if catalog.organization is not None:
        document["organization"] = _organization(catalog.organization)
    issuers = {
        key: each.billing_entity or catalog.tenant.entity.code for key, each in catalog.customers.items()
    }
    writers: dict[str, Callable[[Any], dict[str, Any]]] = {
        "billingEntities": written_entity,
        "units": _unit,
        "products": _product,
        "ratePlans": _plan,
        "offerings": _offering,
        "coupons": _coupon,
        "customers": _customer,
        "teams": _team,
        "apps": _accessor,
        "agents": _accessor,
        "subscriptions": lambda each: _subscription(each, issuers.get(each.customer)),
        "webhookSources": written_source,
        "keys": _key,
        "taxRates": written_tax_rate,
    }
    for section, part in SECTIONS.items():
        nouns: Mapping[str, Any] = getattr(catalog, part)
        if nouns:
            document[section] = [writers[section](nouns[key]) for key in sorted(nouns)]
    return document


def _tenant(tenant: Tenant) -> dict[str, Any]:
    return {
        "id": tenant.id,
        "name": tenant.name,
        "currency": tenant.currency,
        "timeZone": tenant.time_zone,
        "billingEntity": written_entity(tenant.entity),
    }


def _organization(settings: OrganizationSettings) -> dict[str, Any]:
    written = written_settings(settings)
    return _said(written, {"defaultCurrency": settings.currency, "timeZone": settings.time_zone})


def _unit(unit: Unit) -> dict[str, Any]:
    written = unit_document(unit)
    named = {"key": unit.key, "name": unit.name, "aggregation": written.pop("aggregationType")}
    return _said(named | written, {"required": False, "allowNegative": False, "status": "ACTIVE"})


def _product(product: Product) -> dict[str, Any]:
    return _said(product_document(product), {"status": "ACTIVE"})


def _plan(plan: RatePlan) -> dict[str, Any]:
    written = plan_document(plan, {})
    prices = [_price(price) for price in written.pop("metricConfigs")]
    return _said({"key": written.pop("id"), **written, "metrics": prices})


def _price(written: dict[str, Any]) -> dict[str, Any]:
    priced = {"unit": written["metricId"]} | {
        name: value for name, value in written.items() if name not in ("metricId", "metricName")
    }
    if "tiers" in priced:
        priced["tiers"] = [_tier(tier) for tier in priced["tiers"]]
    free = {"rate": "0"} if priced["model"] in (*TIERED, "FLAT_RATE") else {}
    return _said(priced, _UNSAID_OF_A_PRICE | free)


def _tier(written: Mapping[str, Any]) -> dict[str, Any]:
    end = None if written["tierEnd"] == "-1" else written["tierEnd"]
    tier = {"upTo": end, "unitPrice": written["unitPrice"], "flatFee": written["flatFee"]}
    return _said(tier, {"flatFee": "0"})


def _offering(offering: Offering) -> dict[str, Any]:
    written = offering_document(offering)
    written["ratePlan"] = written.pop("primaryRatePlanId")
    written["ratePlanIds"] = list(offering.plans) if offering.further_plans else None
    if written["escrowConfig"]:
        written["escrowConfig"] = _said(written["escrowConfig"])
    # Features are written here: what the API shows of one depends on its type, a file keeps all that was said.
    written["entitlements"] = [_feature(feature) for feature in offering.features]
    order = ("code", "name", "description", "ratePlan", "ratePlanIds")
    return _said({name: written[name] for name in order} | written, {"trialDays": 0})


def _feature(feature: Feature) -> dict[str, Any]:
    guess = "METERED" if feature.unit else "STATIC" if feature.value is not None else "BOOLEAN"
    written = {
        "feature": feature.key,
        "type": feature.type,
        "value": feature.value,
        "unit": feature.unit,
        "limit": feature.limit,
        "enabled": feature.enabled,
        "hard": feature.hard,
    }
    return _said(written, {"type": guess, "enabled": True, "hard": True})


def _coupon(coupon: Coupon) -> dict[str, Any]:
    return _said(
        {
            "code": coupon.code,
            "name": coupon.name,
            "description": coupon.description,
            "discountType": coupon.discount_type,
            "discountValue": plain(coupon.discount_value),
            "currency": coupon.currency,
            "duration": coupon.duration,
            "durationInMonths": coupon.duration_in_months,
            "maxRedemptions": coupon.max_redemptions,
            "maxRedemptionsPerCustomer": coupon.max_redemptions_per_customer,
            "validFrom": coupon.valid_from and coupon.valid_from.isoformat(),
            "validUntil": coupon.valid_until and coupon.valid_until.isoformat(),
            "appliesTo": list(coupon.applies_to),
        }
    )


def _customer(customer: Customer) -> dict[str, Any]:
    written = written_customer(customer)
    named = {"id": customer.id, "name": customer.name, "currency": written.pop("defaultCurrency")}
    return _said(named | written, {"plan": "STANDARD"})


def _team(team: Team) -> dict[str, Any]:
    written = written_team(team)
    if team.budget is not None:
        written["budget"] = written["budget"] | {"amount": plain(team.budget.amount)}
    return written


def _accessor(accessor: Accessor) -> dict[str, Any]:
    return _said(written_accessor(accessor), {"status": "ACTIVE"})


def _subscription(subscription: Subscription, issuer: str | None) -> dict[str, Any]:
    ends = subscription.trial_ends_at
    written = {
        "id": subscription.id,
        "customer": subscription.customer,
        "offering": subscription.offering,
        "startDate": subscription.start_date.isoformat(),
        "endDate": subscription.end_date and subscription.end_date.isoformat(),
        "billingCycle": subscription.billing_cycle,
        "billingAnchorDay": subscription.anchor_day,
        "trialEndsAt": ends and ends.isoformat(),
        "autoConvertPaid": subscription.auto_convert,
        "billingEntityId": subscription.billing_entity,
        "billingThreshold": subscription.billing_threshold and plain(subscription.billing_threshold),
        "usageLimits": written_limits(subscription.usage_limits),
        "spendLimit": written_spend_limit(subscription.spend_limit),
    }
    usual = {
        "billingAnchorDay": subscription.start_date.day,
        "autoConvertPaid": True,
        "billingEntityId": issuer,
    }
    return _said(written, usual)


def _key(key: Key) -> dict[str, Any]:
    written = {
        "name": key.name,
        "customer": key.customer,
        "environment": key.environment.upper(),
        "scopes": list(key.scopes),
        "ipRanges": list(key.ip_ranges),
        "expiresAt": key.expires_at and key.expires_at.isoformat(),
    }
    return _said(written, {"environment": "LIVE"})


def _said(written: Mapping[str, Any], usual: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The fields that say something: not empty, and not what is read where nothing is written."""
    unsaid = usual or {}
    return {
        name: value
        for name, value in written.items()
        if value not in (None, [], {}, "") and not (name in unsaid and unsaid[name] == value)
    }
