"""A whole catalog. Put here: reading one, and what must hold across its nouns. Keep out: storage, one noun's fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from domain.catalog.customers import Customer, Tenant, read_customer, read_tenant
from domain.catalog.fields import CatalogRefused, FieldProblem, Fields
from domain.catalog.issuers import BillingEntity, read_entity
from domain.catalog.keys import Key, read_key
from domain.catalog.offerings import Offering, read_offering
from domain.catalog.plan_reading import read_plan
from domain.catalog.plans import RatePlan
from domain.catalog.products import Product, read_product
from domain.catalog.tax_rates import read_tax_rate
from domain.catalog.units import Unit, read_unit
from domain.coupon import Coupon, read_coupon
from domain.organization import Defaults, OrganizationSettings, read_settings
from domain.people import AGENT, APP, Accessor, Team, read_accessor, read_team
from domain.subscription import Subscription, read_subscription
from domain.tax import TaxRate
from domain.webhook_source import ListedSource, read_listed_source

T = TypeVar("T")
SECTIONS = {
    "billingEntities": "entities", "units": "units", "products": "products", "ratePlans": "plans", "offerings": "offerings",
    "coupons": "coupons", "customers": "customers", "teams": "teams", "apps": "apps", "agents": "agents",
    "subscriptions": "subscriptions", "webhookSources": "sources", "keys": "keys", "taxRates": "tax_rates",
}  # fmt: skip
"""The lists of a catalog file, in the order they are written, and the part of a Catalog each becomes."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """A tenant's catalog or a part of it, each noun by its identifier. entities: issuers besides the tenant's default one.
    organization None: not mentioned, or never set. names_issuer: whether the tenant's default issuer was mentioned."""

    tenant: Tenant
    units: Mapping[str, Unit] = field(default_factory=dict)
    products: Mapping[str, Product] = field(default_factory=dict)
    plans: Mapping[str, RatePlan] = field(default_factory=dict)
    offerings: Mapping[str, Offering] = field(default_factory=dict)
    coupons: Mapping[str, Coupon] = field(default_factory=dict)
    customers: Mapping[str, Customer] = field(default_factory=dict)
    subscriptions: Mapping[str, Subscription] = field(default_factory=dict)
    keys: Mapping[str, Key] = field(default_factory=dict)
    entities: Mapping[str, BillingEntity] = field(default_factory=dict)
    teams: Mapping[str, Team] = field(default_factory=dict)
    apps: Mapping[str, Accessor] = field(default_factory=dict)
    agents: Mapping[str, Accessor] = field(default_factory=dict)
    sources: Mapping[str, ListedSource] = field(default_factory=dict)
    tax_rates: Mapping[str, TaxRate] = field(default_factory=dict)
    organization: OrganizationSettings | None = None
    names_issuer: bool = field(default=True, compare=False)


def read_catalog(document: object) -> Catalog:
    """A catalog as written: an object with `tenant` and lists of the other nouns. Numbers are int, Decimal or text.

    Raises CatalogRefused with all problems found, one per noun at most.
    """
    problems: list[FieldProblem] = []
    try:
        fields = Fields(document, "")
        tenant = read_tenant(Fields(fields.raw("tenant")[1], "tenant"))
    except FieldProblem as problem:
        raise CatalogRefused([problem]) from None

    def section(name: str, read: Callable[[Fields], T], identifier: str) -> dict[str, T]:
        return _section(fields, name, read, identifier, problems)

    customers = section("customers", lambda item: read_customer(item, tenant), "id")
    catalog = Catalog(
        tenant=tenant,
        names_issuer=Fields(fields.raw("tenant")[1], "tenant").has("billingEntity"),
        organization=_organization(fields, tenant, problems),
        entities=section("billingEntities", lambda item: _entity(item, tenant), "code"),
        units=section("units", read_unit, "key"),
        products=section("products", read_product, "key"),
        plans=section("ratePlans", lambda item: read_plan(item, tenant.currency), "key"),
        offerings=section("offerings", lambda item: read_offering(item, tenant.currency), "code"),
        coupons=section("coupons", read_coupon, "code"),
        customers=customers,
        teams=section("teams", lambda item: _team(item, customers), "id"),
        apps=section("apps", lambda item: read_accessor(item, APP), "id"),
        agents=section("agents", lambda item: read_accessor(item, AGENT), "id"),
        subscriptions=section("subscriptions", read_subscription, "id"),
        sources=section("webhookSources", lambda item: read_listed_source(item, tenant.id), "id"),
        keys=section("keys", read_key, "name"),
        tax_rates=section("taxRates", read_tax_rate, "id"),
    )
    try:
        fields.done()
    except FieldProblem as problem:
        problems.append(problem)
    if problems:
        raise CatalogRefused(problems)
    return catalog


def _organization(
    fields: Fields, tenant: Tenant, problems: list[FieldProblem]
) -> OrganizationSettings | None:
    """Its currency and time zone are the tenant's: a file says them once, there."""
    _, sent = fields.raw("organization")
    if sent is None:
        return None
    try:
        settings = read_settings(Fields(sent, "organization"), Defaults(tenant.currency, tenant.time_zone))
    except FieldProblem as problem:
        problems.append(problem)
        return None
    for name, said, own in (
        ("defaultCurrency", settings.currency, tenant.currency),
        ("timeZone", settings.time_zone, tenant.time_zone),
    ):
        if said != own:
            what = f"{said!r} is not {own!r}, as the tenant says; leave it out here"
            problems.append(FieldProblem(f"organization.{name}", what))
    return settings


def _entity(fields: Fields, tenant: Tenant) -> BillingEntity:
    """An issuer besides the default one; its invoices begin with its code unless it says otherwise."""
    code = fields.key("code", "entityCode")
    if code == tenant.entity.code:
        what = f"{code!r} is the tenant's default issuer; write it under tenant.billingEntity only"
        raise FieldProblem(fields.at("code"), what)
    return read_entity(fields, tenant.currency, tenant.time_zone, code.replace("_", "-")[:32])


def _team(fields: Fields, customers: Mapping[str, Customer]) -> Team:
    """A budget without a currency is in that of the customer, if the file holds it."""
    customer = customers.get(fields.key("customerId", "customer"))
    return read_team(fields, customer.currency if customer else None)


def _section(
    fields: Fields, name: str, read: Callable[[Fields], T], identifier: str, problems: list[FieldProblem]
) -> dict[str, T]:
    found: dict[str, T] = {}
    try:
        items = fields.items(name)
    except FieldProblem as problem:
        problems.append(problem)
        return found
    for path, item in items:
        try:
            noun: Any = read(Fields(item, path))
            key = getattr(noun, identifier)
            if key in found:
                raise FieldProblem(f"{path}.{identifier}", f"{key!r} stands here twice; write it once")
            found[key] = noun
        except FieldProblem as problem:
            problems.append(problem)
    return found
