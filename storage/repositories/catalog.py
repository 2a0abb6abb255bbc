"""A tenant's catalog. Put here: loading and saving tenant, units, products, plans and their versions, offerings.
Keep out: customers and their contracts, what may change (domain.catalog)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from sqlalchemy import func, insert, select, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from domain.catalog.customers import Tenant
from domain.catalog.issuers import BillingEntity
from domain.catalog.offerings import Offering
from domain.catalog.plans import RatePlan, content_hash, plan_of
from domain.catalog.products import ARCHIVED, Product
from domain.catalog.units import Unit
from domain.terms import PlanTerms, plan_terms
from storage.repositories.among import among
from storage.repositories.billing_entities import BillingEntities, entity_of
from storage.repositories.offerings import offering_of, offering_values
from storage.repositories.products import ProductRepository, product_of, product_values
from storage.repositories.units import UnitRepository, unit_of, unit_values
from storage.tables.base import Base
from storage.tables.catalog import (
    OfferingRow,
    ProductRow,
    RatePlanRow,
    RatePlanVersionRow,
    UnitRow,
)
from storage.tables.tenants import TenantRow

Row = TypeVar("Row", bound=Base)


class CatalogRepository:
    """One tenant's catalog; no method sees another tenant's rows."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._units = UnitRepository(session, tenant_id)
        self._products = ProductRepository(session, tenant_id)

    def tenant(self) -> Tenant | None:
        """The tenant with its default issuer; None: there is no such tenant."""
        row = self._session.get(TenantRow, self._tenant_id)
        if row is None:
            return None
        entity = BillingEntities(self._session, self._tenant_id).default()
        issuer = (
            BillingEntity(base_currency=row.currency, time_zone=row.time_zone)
            if entity is None
            else entity_of(entity)
        )
        return Tenant(row.id, row.name, row.currency, row.time_zone, issuer)

    def units(self) -> dict[str, Unit]:
        """Archived ones too: plans published before still name them."""
        return {row.id: unit_of(row) for row in self._rows(UnitRow)}

    def products(self) -> dict[str, Product]:
        """Archived ones too."""
        rows = self._rows(ProductRow)
        units = self._products.units_of([row.id for row in rows])
        return {row.id: product_of(row, units[row.id]) for row in rows}

    def plans(self) -> dict[str, RatePlan]:
        """Each plan as its latest version says."""
        rows = {row.id: row for row in self._rows(RatePlanRow)}
        return {
            plan_id: plan_of(plan_id, rows[plan_id].description, content)
            for plan_id, (_, content) in self.latest_versions().items()
        }

    def latest_versions(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """Number and content of each plan's latest version."""
        newest = (
            select(RatePlanVersionRow.plan_id, func.max(RatePlanVersionRow.version))
            .where(RatePlanVersionRow.tenant_id == self._tenant_id)
            .group_by(RatePlanVersionRow.plan_id)
        )
        query = select(RatePlanVersionRow).where(
            RatePlanVersionRow.tenant_id == self._tenant_id,
            tuple_(RatePlanVersionRow.plan_id, RatePlanVersionRow.version).in_(newest),
        )
        return {row.plan_id: (row.version, row.content) for row in self._session.scalars(query)}

    def versions(self, plans: Collection[str] | None = None) -> dict[tuple[str, int], PlanTerms]:
        """Every published version, of these plans or of all, by plan and number."""
        query = select(RatePlanVersionRow).where(RatePlanVersionRow.tenant_id == self._tenant_id)
        if plans is not None:
            query = query.where(among(RatePlanVersionRow.plan_id, plans))
        return {
            (row.plan_id, row.version): plan_terms(row.plan_id, row.version, row.content)
            for row in self._session.scalars(query)
        }

    def offerings(self, codes: Collection[str] | None = None) -> dict[str, Offering]:
        """These, or all; archived ones too: subscriptions may still hold them."""
        rows = self._rows(OfferingRow) if codes is None else self._offerings(codes)
        return {row.id: offering_of(row) for row in rows}

    def save_tenant(self, tenant: Tenant) -> None:
        """The tenant and its default issuer, as they now are."""
        values = {"name": tenant.name, "currency": tenant.currency, "time_zone": tenant.time_zone}
        self._session.execute(
            upsert(TenantRow)
            .values(id=tenant.id, **values)
            .on_conflict_do_update(index_elements=["id"], set_=values)
        )
        BillingEntities(self._session, tenant.id).save_default(tenant.entity)

    def save_units(self, units: Iterable[Unit]) -> None:
        """Raises UnitExists."""
        saved = list(units)
        for unit in saved:
            self._save(UnitRow, [{"id": unit.key, **unit_values(unit), **_life(unit)}])
        self._units.say(saved)

    def save_products(self, products: Iterable[Product]) -> None:
        for product in products:
            self._save(ProductRow, [{"id": product.key, **product_values(product), **_life(product)}])
            self._products.link(product.key, product.units)

    def publish_plan(self, plan: RatePlan, content: dict[str, Any], version: int) -> None:
        """The plan, and its content as a new version; published versions stay as they are."""
        self.save_plan(plan)
        self._session.execute(
            insert(RatePlanVersionRow).values(
                tenant_id=self._tenant_id,
                plan_id=plan.key,
                version=version,
                content=content,
                content_hash=content_hash(content),
            )
        )

    def save_plan(self, plan: RatePlan) -> None:
        """What may change without a new version: the description."""
        values = {"name": plan.name, "description": plan.description, "currency": plan.currency}
        self._save(RatePlanRow, [{"id": plan.key, "archived_at": None, **values}])

    def save_offerings(self, offerings: Iterable[Offering]) -> None:
        self._save(OfferingRow, [{"id": each.code, **offering_values(each)} for each in offerings])

    def _rows(self, table: type[Row]) -> list[Row]:
        columns = table.__table__.c
        query = select(table).where(columns.tenant_id == self._tenant_id).order_by(columns.id)
        return list(self._session.scalars(query))

    def _offerings(self, codes: Collection[str]) -> list[OfferingRow]:
        query = select(OfferingRow).where(
            OfferingRow.tenant_id == self._tenant_id, among(OfferingRow.id, codes)
        )
        return list(self._session.scalars(query))

    def _save(self, table: type[Base], rows: list[dict[str, Any]]) -> None:
        save_rows(self._session, self._tenant_id, table, rows)


def _life(noun: Unit | Product) -> dict[str, Any]:
    """Saving brings an archived noun back where it says so; a file archives nothing (domain.catalog.contradictions)."""
    return {} if noun.status == ARCHIVED else {"status": noun.status, "archived_at": None}


def save_rows(session: Session, tenant_id: str, table: type[Base], rows: list[dict[str, Any]]) -> None:
    """Insert the tenant's rows, or update those whose `id` is there already: editable ones are then one revision on."""
    if not rows:
        return
    statement = upsert(table)
    updated = {name: statement.excluded[name] for name in rows[0] if name != "id"}
    columns = table.__table__.c
    if "revision" in columns:
        updated["revision"] = columns.revision + 1
    if "updated_at" in columns:
        updated["updated_at"] = func.now()
    statement = statement.on_conflict_do_update(index_elements=["tenant_id", "id"], set_=updated)
    session.execute(statement, [{"tenant_id": tenant_id, **row} for row in rows])
