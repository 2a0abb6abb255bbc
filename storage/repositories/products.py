"""Products as rows. Put here: finding and saving a tenant's products, and which units meter them.
Keep out: what may change (storage.services.products)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.catalog.products import ARCHIVED, Product
from domain.errors import Conflict
from storage.tables.catalog import ProductRow, ProductUnitRow


class ProductExists(Conflict):
    """Another product already has this key or name."""

    code = "PRODUCT_EXISTS"


def product_of(row: ProductRow, units: Iterable[str]) -> Product:
    """The product a row holds, with the keys of its units."""
    return Product(
        key=row.id,
        name=row.name,
        type=row.type,
        description=row.description,
        units=tuple(units),
        details=json.dumps(row.details, sort_keys=True),
        audience=row.audience,
        maturity_stage=row.maturity_stage,
        status=row.status,
    )


def product_values(product: Product) -> dict[str, Any]:
    """The columns that hold a product; its life and its units are not among them."""
    return {
        "name": product.name,
        "type": product.type,
        "description": product.description,
        "details": json.loads(product.details),
        "audience": product.audience,
        "maturity_stage": product.maturity_stage,
    }


class ProductRepository:
    """One tenant's products; no method sees another tenant's rows."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._mine = ProductRow.tenant_id == tenant_id

    def get(self, key: str, *, lock: bool = False) -> ProductRow | None:
        query = select(ProductRow).where(self._mine, ProductRow.id == key)
        if lock:
            query = query.with_for_update().execution_options(populate_existing=True)
        return self._session.scalars(query).one_or_none()

    def matching(
        self,
        *,
        name: str | None = None,
        product_type: str | None = None,
        status: str | None = None,
        include_archived: bool = False,
    ) -> Select[ProductRow]:
        """The products that meet every filter; name: a part of it, in any case. Archived ones only if asked for."""
        query = select(ProductRow).where(self._mine)
        if name:
            query = query.where(ProductRow.name.icontains(name, autoescape=True))
        if product_type:
            query = query.where(ProductRow.type == product_type)
        if status:
            return query.where(ProductRow.status == status)
        return query if include_archived else query.where(ProductRow.status != ARCHIVED)

    def named(self, name: str) -> ProductRow | None:
        """The product on offer with this name, in any case."""
        matching = self.matching(name=name)
        return next(
            (row for row in self._session.scalars(matching) if row.name.lower() == name.lower()), None
        )

    def units_of(self, keys: Collection[str]) -> dict[str, list[str]]:
        """The keys of the units that meter each of these products."""
        units: dict[str, list[str]] = {key: [] for key in keys}
        links = select(ProductUnitRow).where(
            ProductUnitRow.tenant_id == self._tenant_id, ProductUnitRow.product_id.in_(keys)
        )
        for link in self._session.scalars(links.order_by(ProductUnitRow.unit_id)):
            units[link.product_id].append(link.unit_id)
        return units

    def add(self, product: Product, at: datetime) -> ProductRow:
        """Save a new product. Raises ProductExists."""
        row = ProductRow(
            tenant_id=self._tenant_id,
            id=product.key,
            status=product.status,
            revision=1,
            created_at=at,
            updated_at=at,
            archived_at=None,
            **product_values(product),
        )
        self._flush(product, row)
        self.link(product.key, product.units)
        return row

    def put(self, row: ProductRow, product: Product, at: datetime) -> None:
        """Make the row the product, one revision on. Raises ProductExists."""
        for column, value in product_values(product).items():
            setattr(row, column, value)
        row.status = product.status
        row.archived_at = (row.archived_at or at) if product.status == ARCHIVED else None
        row.revision += 1
        row.updated_at = at
        self._flush(product)
        self.link(product.key, product.units)

    def link(self, key: str, units: Collection[str]) -> None:
        """Let exactly these units meter the product."""
        of_product = (ProductUnitRow.tenant_id == self._tenant_id, ProductUnitRow.product_id == key)
        self._session.execute(delete(ProductUnitRow).where(*of_product))
        rows = [{"tenant_id": self._tenant_id, "product_id": key, "unit_id": unit} for unit in units]
        if rows:
            self._session.execute(insert(ProductUnitRow), rows)

    def unlink_unit(self, unit: str, at: datetime) -> list[str]:
        """Let the unit meter no product any more; the products it metered, each one revision on."""
        links = delete(ProductUnitRow).where(
            ProductUnitRow.tenant_id == self._tenant_id, ProductUnitRow.unit_id == unit
        )
        metered = sorted(self._session.scalars(links.returning(ProductUnitRow.product_id)))
        self._session.execute(
            update(ProductRow)
            .where(self._mine, ProductRow.id.in_(metered))
            .values(revision=ProductRow.revision + 1, updated_at=at)
        )
        return metered

    def _flush(self, product: Product, new: ProductRow | None = None) -> None:
        try:
            with self._session.begin_nested():
                if new is not None:
                    self._session.add(new)
                self._session.flush()
        except IntegrityError as error:
            raise ProductExists(
                f"name: {product.name!r} or key {product.key!r} is already another product's; choose another"
            ) from error
