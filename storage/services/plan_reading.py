"""Reading rate plans that were sent. Put here: plans against the tenant's units and products. Keep out: what a plan may say by
itself (domain.catalog.plan_reading), saving."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

from domain.catalog.fields import CatalogRefused, FieldProblem, Fields
from domain.catalog.plan_reading import read_plan, refuse_duplicates
from domain.catalog.plans import RatePlan
from domain.catalog.units import Unit
from storage.repositories.catalog import CatalogRepository
from storage.repositories.units import share_catalog
from storage.tenancy import Tx

ARCHIVED = "ARCHIVED"


class PlanReader:
    """Reads plans within one tenant's catalog, which is loaded when first asked for."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._catalog = CatalogRepository(tx.session, tx.tenant_id)

    def units(self) -> Mapping[str, Unit]:
        """All units by key, archived ones too."""
        return self._units

    def read(self, body: Mapping[str, Any], known: Collection[str] = ()) -> RatePlan:
        """The plan, its units by key. known: units it prices already, which may be archived by now.

        Raises FieldProblem, DuplicateUnit, CatalogRefused naming every unit and product that does not exist.
        """
        fields = Fields(body, "")
        tenant = self._catalog.tenant()
        assert tenant is not None, "the door let an unknown tenant in"
        plan = read_plan(fields, tenant.currency).with_units(self.words())
        refuse_duplicates(plan, Fields(body, ""))
        self.check(plan, "metrics" if fields.has("metrics") else "metricConfigs", known)
        return plan

    def check(self, plan: RatePlan, field: str, known: Collection[str] = ()) -> None:
        """Raises CatalogRefused naming every unit and product that does not exist. field: what the prices were sent as."""
        problems = []
        for index, price in enumerate(plan.prices):
            unit = self._units.get(price.unit)
            if unit is None or (unit.status == ARCHIVED and price.unit not in known):
                what = "is no metric of this tenant" if unit is None else "is archived"
                path = f"{field}[{index}].metricName"
                problems.append(FieldProblem(path, f"{price.unit!r} {what}; create it, or correct the name"))
        products = self._catalog.products() if plan.products else {}
        for index, product in enumerate(plan.products):
            if product not in products:
                what = f"{product!r} is no product of this tenant; create it, or correct the id"
                problems.append(FieldProblem(f"productIds[{index}]", what))
        if problems:
            raise CatalogRefused(problems)

    def words(self) -> dict[str, str]:
        """Unit keys by everything a unit goes by, lower case."""
        by_name = {unit.name.lower(): unit.key for unit in self._units.values()}
        return by_name | {key.lower(): key for key in self._units}

    @cached_property
    def _units(self) -> dict[str, Unit]:
        share_catalog(self._tx.session, self._tx.tenant_id)
        return self._catalog.units()
