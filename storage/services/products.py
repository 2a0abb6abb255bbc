"""Products. Put here: creating, editing and archiving one, and which units meter it. Keep out: units' own rules, HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from domain.catalog.deletion import DeletionCheck, judged
from domain.catalog.fields import FieldProblem, Fields
from domain.catalog.products import ARCHIVED, Product, product_document, read_product
from domain.catalog.units import ARCHIVED as UNIT_ARCHIVED
from domain.errors import Conflict, NotFound
from storage.repositories.dependents import Dependents
from storage.repositories.paging import Page, PageQuery, keyset
from storage.repositories.products import ProductExists, ProductRepository, product_of
from storage.repositories.units import UnitRepository, lock_catalog
from storage.services.differences import differences, no_expectation
from storage.services.edits import changed, confirmed, written
from storage.services.unit_sets import UnitSets
from storage.services.units import UnitNotFound
from storage.tables.catalog import ProductRow
from storage.tenancy import Tx

Expect = Callable[[str, int], None]
SPELLINGS = {"productType": "type", "metricIds": "units"}
_KEPT = ("key", "status", "units")


class ProductNotFound(NotFound):
    code = "PRODUCT_NOT_FOUND"

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no product {key!r}")


class ProductBlocked(Conflict):
    """Active subscriptions stand on the product."""

    code = "PRODUCT_BLOCKED"


class Products:
    """One tenant's products."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._rows = ProductRepository(tx.session, tx.tenant_id)
        self._units = UnitRepository(tx.session, tx.tenant_id)

    def listing(self, page: PageQuery, **filters: Any) -> Page:
        """filters: see ProductRepository.matching."""
        columns = {
            "name": ProductRow.name, "createdAt": ProductRow.created_at, "type": ProductRow.type, "id": ProductRow.id,
        }  # fmt: skip
        rows, total, following = keyset(self._tx.session, self._rows.matching(**filters), columns, page)
        return Page(self._shown(rows), total, following)

    def get(self, key: str) -> dict[str, Any]:
        """Archived ones too. Raises ProductNotFound."""
        row = self._rows.get(key)
        if row is None:
            raise ProductNotFound(key)
        return self._shown([row])[0]

    def create(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """A new product, metered by the units sent, or else by the usual ones of its type. Raises FieldProblem, ProductExists."""
        lock_catalog(self._tx.session, self._tx.tenant_id)
        body = written(sent)
        Fields(body, "").text("name")
        product = read_product(Fields({"key": f"prd_{secrets.token_hex(8)}", **_without_none(body)}, ""))
        if product.status == ARCHIVED:
            raise FieldProblem("status", "is not ARCHIVED from the start; use DRAFT or ACTIVE")
        if body.get("units") is None and body.get("metricIds") is None:
            usual = UnitSets(self._tx).for_new_product(product.type)
            product = replace(product, units=tuple(sorted(row.id for row in usual)))
        self._refuse(product, units=product.units)
        row = self._rows.add(product, self._tx.at)
        self._tx.record("PRODUCT_CREATED", "product", row.id, differences({}, product_document(product)))
        return self._shown([row])[0]

    def edit(
        self, key: str, sent: Mapping[str, Any], *, replace: bool = False, expect: Expect = no_expectation
    ) -> dict[str, Any]:
        """Change the fields sent, or (replace) all of them but its units. An archived product is restored by another status.

        Raises ProductNotFound, StaleEdit, FieldProblem, ProductExists.
        """
        row, before = self._locked(key, expect)
        document = changed(product_document(before), sent, SPELLINGS, replace=replace, kept=_KEPT)
        after = read_product(Fields(document, ""))
        if after.status == ARCHIVED and before.status != ARCHIVED:
            raise FieldProblem("status", "is not set to ARCHIVED by an edit; delete the product instead")
        new_units = tuple(unit for unit in after.units if unit not in before.units)
        self._refuse(after, units=new_units)
        return self._put(row, before, after, "PRODUCT_UPDATED")

    def associate(self, key: str, unit: str, expect: Expect = no_expectation) -> dict[str, Any]:
        """Let a unit meter the product; again: nothing happens. Raises ProductNotFound, StaleEdit, UnitNotFound."""
        row, before = self._locked(key, expect)
        found = self._units.get(unit)
        if found is None or found.status == UNIT_ARCHIVED:
            raise UnitNotFound(unit)
        after = replace(before, units=tuple(sorted({*before.units, unit})))
        return self._put(row, before, after, "PRODUCT_UPDATED")

    def dissociate(self, key: str, unit: str, expect: Expect = no_expectation) -> None:
        """Let the unit meter the product no more; prices stay as they are. Raises ProductNotFound, StaleEdit, UnitNotFound."""
        row, before = self._locked(key, expect)
        if unit not in before.units:
            raise UnitNotFound(unit)
        after = replace(before, units=tuple(each for each in before.units if each != unit))
        self._put(row, before, after, "PRODUCT_UPDATED")

    def deletion_check(self, key: str) -> DeletionCheck:
        """What archiving it would do to others. Raises ProductNotFound."""
        row = self._rows.get(key)
        if row is None:
            raise ProductNotFound(key)
        units = self._rows.units_of([key])[key]
        reasons = Dependents(self._tx.session, self._tx.tenant_id, self._tx.at).of_product(key, units)
        return judged((self._tx.tenant_id, "product", key, row.revision), reasons)

    def archive(self, key: str, confirm: str | None = None, expect: Expect = no_expectation) -> None:
        """Off the lists, and its name is free again; its units stay. Archived already: nothing happens.

        Raises ProductNotFound, StaleEdit, ProductBlocked, ConfirmationNeeded.
        """
        row, before = self._locked(key, expect)
        if before.status != ARCHIVED:
            confirmed(self.deletion_check(key), confirm, ProductBlocked)
            self._put(row, before, replace(before, status=ARCHIVED), "PRODUCT_ARCHIVED")

    def _locked(self, key: str, expect: Expect) -> tuple[ProductRow, Product]:
        lock_catalog(self._tx.session, self._tx.tenant_id)
        row = self._rows.get(key, lock=True)
        if row is None:
            raise ProductNotFound(key)
        expect(f"product {key!r}", row.revision)
        return row, product_of(row, self._rows.units_of([key])[key])

    def _refuse(self, product: Product, *, units: Sequence[str]) -> None:
        """Raises ProductExists, FieldProblem."""
        other = self._rows.named(product.name)
        if other is not None and other.id != product.key and product.status != ARCHIVED:
            raise ProductExists(f"name: {product.name!r} is already product {other.id!r}; choose another")
        live = {key for key, row in self._units.for_pricing(units).items() if row.status != UNIT_ARCHIVED}
        for index, unit in enumerate(product.units):
            if unit in units and unit not in live:
                raise FieldProblem(
                    f"units[{index}]", f"{unit!r} is no unit that is counted; create or restore it first"
                )

    def _put(self, row: ProductRow, before: Product, after: Product, action: str) -> dict[str, Any]:
        changes = differences(product_document(before), product_document(after))
        if changes:
            self._rows.put(row, after, self._tx.at)
            self._tx.record(action, "product", row.id, changes)
        return self._shown([row])[0]

    def _shown(self, rows: Sequence[ProductRow]) -> list[dict[str, Any]]:
        units = self._rows.units_of([row.id for row in rows])
        return [
            {
                "id": row.id,
                **product_document(product_of(row, units[row.id])),
                "revision": row.revision,
                "createdAt": row.created_at,
                "updatedAt": row.updated_at,
                "archivedAt": row.archived_at,
            }
            for row in rows
        ]


def _without_none(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
