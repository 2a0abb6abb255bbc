"""Exporting a catalog. Put here: what of a tenant belongs in a file. Keep out: its form (domain.catalog), YAML, printing.

A file says what is sold and to whom from now on: drafts, what was archived and what has ended stay in the database alone, unless
something in the file needs it. Wallets, means of payment and secrets are in no file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.catalog.catalog import SECTIONS, Catalog
from domain.catalog.catalog_document import catalog_document
from domain.errors import PermanentFailure
from storage.catalog_service import load_catalog
from storage.repositories.catalog import CatalogRepository
from storage.repositories.keys import IN_USE
from storage.tables.catalog import RatePlanRow
from storage.tables.customers import CustomerRow
from storage.tables.keys import ApiKeyRow
from storage.tables.tenants import TenantRow


class WhichTenant(PermanentFailure):
    """No such tenant, or none was named and there are several."""

    code = "WHICH_TENANT"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Export:
    """document: as `read_catalog` reads it. versions: of each rate plan in it, by key."""

    document: Mapping[str, Any]
    versions: Mapping[str, int]


def export_catalog(
    session: Session, tenant_id: str | None = None, only: Collection[str] | None = None
) -> Export:
    """The catalog of the tenant, or of the only one there is. only: these sections, and always the tenant. Raises WhichTenant."""
    found = _tenant(session, tenant_id)
    stored = load_catalog(session, found)
    assert stored is not None, "the tenant was there a moment ago"
    document = catalog_document(_in_use(session, stored))
    if only is not None:
        document = {name: value for name, value in document.items() if name == "tenant" or name in only}
    latest = CatalogRepository(session, found).latest_versions()
    plans = [plan["key"] for plan in document.get("ratePlans", ())]
    return Export(document, {key: latest[key][0] for key in plans})


def _tenant(session: Session, tenant_id: str | None) -> str:
    known = list(session.scalars(select(TenantRow.id).order_by(TenantRow.id)))
    if tenant_id is None and len(known) == 1:
        return known[0]
    if tenant_id in known and tenant_id is not None:
        return tenant_id
    some = ", ".join(known[:10]) + (" …" if len(known) > 10 else "") or "none yet; `aforo apply` makes one"
    was = "name one with --tenant" if tenant_id is None else f"{tenant_id!r} is no tenant"
    raise WhichTenant(f"{was}; there are: {some}")


def _in_use(session: Session, stored: Catalog) -> Catalog:
    """What goes on, and what that needs."""
    tenant_id = stored.tenant.id
    subscriptions = {key: each for key, each in stored.subscriptions.items() if each.ended_at is None}
    archived = _ids(session, CustomerRow, tenant_id) - {each.customer for each in subscriptions.values()}
    customers = _without(stored.customers, archived)
    sold = {each.offering for each in subscriptions.values()}
    sold |= {code for coupon in stored.coupons.values() for code in coupon.applies_to}
    offerings = {
        code: each for code, each in stored.offerings.items() if each.status != "ARCHIVED" or code in sold
    }
    priced = {plan for each in offerings.values() for plan in each.plans}
    plans = _without(stored.plans, _ids(session, RatePlanRow, tenant_id) - priced)
    named = {price.unit for plan in plans.values() for price in plan.prices}
    named |= {
        feature.unit for each in offerings.values() for feature in each.features if feature.unit is not None
    }
    made_for = {product for plan in plans.values() for product in plan.products}
    products = {
        key: each for key, each in stored.products.items() if each.status != "ARCHIVED" or key in made_for
    }
    named |= {unit for product in products.values() for unit in product.units}
    units = {key: each for key, each in stored.units.items() if each.status != "ARCHIVED" or key in named}
    return replace(
        stored,
        units=units,
        products=products,
        plans=plans,
        offerings=offerings,
        customers=customers,
        subscriptions=subscriptions,
        keys=_without(stored.keys, stored.keys.keys() - _keys_in_use(session, tenant_id)),
    )


def _ids(session: Session, table: Any, tenant_id: str) -> set[str]:
    """The archived ones."""
    query = select(table.id).where(table.tenant_id == tenant_id, table.archived_at.is_not(None))
    return set(session.scalars(query))


def _keys_in_use(session: Session, tenant_id: str) -> set[str]:
    query = select(ApiKeyRow.name).where(
        ApiKeyRow.tenant_id == tenant_id, ApiKeyRow.accessor_id.is_(None), ApiKeyRow.status.in_(IN_USE)
    )
    return set(session.scalars(query))


def _without(nouns: Mapping[str, Any], left_out: Iterable[str]) -> dict[str, Any]:
    gone = set(left_out)
    return {key: noun for key, noun in nouns.items() if key not in gone}


SECTION_NAMES = ("organization", *SECTIONS)
"""What `only` may name."""
