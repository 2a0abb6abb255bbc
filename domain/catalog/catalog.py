"""A whole catalog. Put here: reading one, and what must hold across its nouns. Keep out: storage, one noun's fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from domain.catalog.customers import Customer, Key, Tenant, read_customer, read_key, read_tenant
from domain.catalog.fields import CatalogRefused, FieldProblem, Fields
from domain.catalog.offerings import Offering, read_offering
from domain.catalog.plans import RatePlan, read_plan
from domain.catalog.products import Product, read_product
from domain.catalog.units import Unit, read_unit
from domain.subscription import Subscription, read_subscription

T = TypeVar("T")
SECTIONS = ("units", "products", "ratePlans", "offerings", "customers", "subscriptions", "keys")


@dataclass(frozen=True, slots=True)
class Catalog:
    """A tenant's catalog or a part of it, each noun by its identifier."""

    tenant: Tenant
    units: Mapping[str, Unit] = field(default_factory=dict)
    products: Mapping[str, Product] = field(default_factory=dict)
    plans: Mapping[str, RatePlan] = field(default_factory=dict)
    offerings: Mapping[str, Offering] = field(default_factory=dict)
    customers: Mapping[str, Customer] = field(default_factory=dict)
    subscriptions: Mapping[str, Subscription] = field(default_factory=dict)
    keys: Mapping[str, Key] = field(default_factory=dict)


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

    catalog = Catalog(
        tenant=tenant,
        units=section("units", read_unit, "key"),
        products=section("products", read_product, "key"),
        plans=section("ratePlans", lambda item: read_plan(item, tenant.currency), "key"),
        offerings=section("offerings", lambda item: read_offering(item, tenant.currency), "code"),
        customers=section("customers", lambda item: read_customer(item, tenant), "id"),
        subscriptions=section("subscriptions", read_subscription, "id"),
        keys=section("keys", read_key, "name"),
    )
    try:
        fields.done()
    except FieldProblem as problem:
        problems.append(problem)
    if problems:
        raise CatalogRefused(problems)
    return catalog


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
