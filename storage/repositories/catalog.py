"""A tenant's catalog. Put here: loading and saving tenant, units, products, plans and their versions, offerings.
Keep out: customers and their contracts, what may change (domain.catalog)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy import delete, func, insert, select, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from domain.access import Feature, FilterCondition
from domain.catalog.customers import BillingEntity, Tenant
from domain.catalog.offerings import Offering
from domain.catalog.plans import RatePlan, content_hash, plan_of
from domain.catalog.products import Product
from domain.catalog.units import Unit
from domain.terms import PlanTerms, plan_terms
from storage.tables.base import Base
from storage.tables.catalog import (
    OfferingRow,
    ProductRow,
    ProductUnitRow,
    RatePlanRow,
    RatePlanVersionRow,
    UnitRow,
)
from storage.tables.tenants import BillingEntityRow, TenantRow

Row = TypeVar("Row", bound=Base)


class CatalogRepository:
    """One tenant's catalog; no method sees another tenant's rows."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def tenant(self) -> Tenant | None:
        """The tenant with its default issuer; None: there is no such tenant."""
        row = self._session.get(TenantRow, self._tenant_id)
        if row is None:
            return None
        of_tenant = (BillingEntityRow.tenant_id == self._tenant_id, BillingEntityRow.is_default)
        entity = self._session.scalars(select(BillingEntityRow).where(*of_tenant)).one()
        issuer = BillingEntity(entity.id, entity.name, entity.invoice_prefix, entity.rounding)
        return Tenant(row.id, row.name, row.currency, row.time_zone, issuer)

    def units(self) -> dict[str, Unit]:
        return {
            row.id: Unit(
                key=row.id,
                name=row.name,
                aggregation=row.aggregation,
                unit_label=row.unit_label,
                event_field=row.event_field,
                filters=tuple(FilterCondition(**condition) for condition in row.filters),
                allow_negative=row.allow_negative,
            )
            for row in self._rows(UnitRow)
        }

    def products(self) -> dict[str, Product]:
        units: dict[str, list[str]] = {}
        links = select(ProductUnitRow).where(ProductUnitRow.tenant_id == self._tenant_id)
        for link in self._session.scalars(links.order_by(ProductUnitRow.unit_id)):
            units.setdefault(link.product_id, []).append(link.unit_id)
        return {
            row.id: Product(
                row.id,
                row.name,
                row.type,
                row.description,
                tuple(units.get(row.id, [])),
                json.dumps(row.details, sort_keys=True),
            )
            for row in self._rows(ProductRow)
        }

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

    def versions(self) -> dict[tuple[str, int], PlanTerms]:
        """Every published version, by plan and number."""
        query = select(RatePlanVersionRow).where(RatePlanVersionRow.tenant_id == self._tenant_id)
        return {
            (row.plan_id, row.version): plan_terms(row.plan_id, row.version, row.content)
            for row in self._session.scalars(query)
        }

    def offerings(self) -> dict[str, Offering]:
        return {
            row.id: Offering(
                code=row.id,
                name=row.name,
                plan=row.plan_id,
                currency=row.currency,
                type=row.type,
                status=row.status,
                billing_mode=row.billing_mode,
                trial_days=row.trial_days,
                description=row.description,
                features=tuple(Feature(**feature) for feature in row.entitlements),
            )
            for row in self._rows(OfferingRow)
        }

    def save_tenant(self, tenant: Tenant) -> None:
        """The tenant and its default issuer, as they now are."""
        values = {"name": tenant.name, "currency": tenant.currency, "time_zone": tenant.time_zone}
        self._session.execute(
            upsert(TenantRow)
            .values(id=tenant.id, **values)
            .on_conflict_do_update(index_elements=["id"], set_=values)
        )
        entity = tenant.entity
        for row in self._session.scalars(
            select(BillingEntityRow).where(BillingEntityRow.tenant_id == tenant.id)
        ):
            row.is_default = False
        self._session.flush()
        self._save(
            BillingEntityRow,
            [
                {
                    "id": entity.code,
                    "name": entity.name,
                    "invoice_prefix": entity.invoice_prefix,
                    "rounding": entity.rounding,
                    "is_default": True,
                }
            ],
        )

    def save_units(self, units: Iterable[Unit]) -> None:
        self._save(
            UnitRow,
            [
                {
                    "id": unit.key,
                    "name": unit.name,
                    "unit_label": unit.unit_label,
                    "aggregation": unit.aggregation,
                    "event_field": unit.event_field,
                    "filters": [asdict(condition) for condition in unit.filters],
                    "allow_negative": unit.allow_negative,
                }
                for unit in units
            ],
        )

    def save_products(self, products: Iterable[Product]) -> None:
        for product in products:
            values = {"name": product.name, "type": product.type, "description": product.description}
            self._save(ProductRow, [{"id": product.key, "details": json.loads(product.details), **values}])
            links = (ProductUnitRow.tenant_id == self._tenant_id, ProductUnitRow.product_id == product.key)
            self._session.execute(delete(ProductUnitRow).where(*links))
            rows = [
                {"tenant_id": self._tenant_id, "product_id": product.key, "unit_id": unit}
                for unit in product.units
            ]
            if rows:
                self._session.execute(insert(ProductUnitRow), rows)

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
        self._save(RatePlanRow, [{"id": plan.key, **values}])

    def save_offerings(self, offerings: Iterable[Offering]) -> None:
        self._save(
            OfferingRow,
            [
                {
                    "id": offering.code,
                    "name": offering.name,
                    "description": offering.description,
                    "type": offering.type,
                    "status": offering.status,
                    "plan_id": offering.plan,
                    "billing_mode": offering.billing_mode,
                    "currency": offering.currency,
                    "trial_days": offering.trial_days,
                    "entitlements": [asdict(feature) for feature in offering.features],
                }
                for offering in offerings
            ],
        )

    def _rows(self, table: type[Row]) -> list[Row]:
        columns = table.__table__.c
        query = select(table).where(columns.tenant_id == self._tenant_id).order_by(columns.id)
        return list(self._session.scalars(query))

    def _save(self, table: type[Base], rows: list[dict[str, Any]]) -> None:
        save_rows(self._session, self._tenant_id, table, rows)


def save_rows(session: Session, tenant_id: str, table: type[Base], rows: list[dict[str, Any]]) -> None:
    """Insert the tenant's rows, or update those whose `id` is there already."""
    if not rows:
        return
    statement = upsert(table)
    updated = {name: statement.excluded[name] for name in rows[0] if name != "id"}
    statement = statement.on_conflict_do_update(index_elements=["tenant_id", "id"], set_=updated)
    session.execute(statement, [{"tenant_id": tenant_id, **row} for row in rows])
