"""Billable units as rows. Put here: finding and saving a tenant's units, and the words events may call them by.
Keep out: what may change (storage.services.units)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.access import FilterCondition
from domain.catalog.units import ACTIVE, ARCHIVED, Unit
from domain.errors import Conflict
from storage.database import lock_id
from storage.tables.catalog import ProductUnitRow, UnitRow, UnitWordRow


class UnitExists(Conflict):
    """Another unit already goes by this key or name."""

    code = "METRIC_EXISTS"


def unit_of(row: UnitRow) -> Unit:
    """The unit a row holds."""
    return Unit(
        key=row.id,
        name=row.name,
        aggregation=row.aggregation,
        unit_label=row.unit_label,
        event_field=row.event_field,
        filters=tuple(FilterCondition(**condition) for condition in row.filters),
        allow_negative=row.allow_negative,
        product_types=tuple(row.product_types),
        description=row.description,
        category=row.category,
        required=row.required,
        status=row.status,
    )


def unit_values(unit: Unit) -> dict[str, Any]:
    """The columns that hold a unit; its life (status, archived_at, revision) is not among them."""
    return {
        "name": unit.name,
        "unit_label": unit.unit_label,
        "aggregation": unit.aggregation,
        "event_field": unit.event_field,
        "filters": [asdict(condition) for condition in unit.filters],
        "allow_negative": unit.allow_negative,
        "product_types": list(unit.product_types),
        "description": unit.description,
        "category": unit.category,
        "required": unit.required,
    }


class UnitRepository:
    """One tenant's units; no method sees another tenant's rows."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._mine = UnitRow.tenant_id == tenant_id

    def get(self, key: str, *, lock: bool = False) -> UnitRow | None:
        query = select(UnitRow).where(self._mine, UnitRow.id == key)
        if lock:
            query = query.with_for_update().execution_options(populate_existing=True)
        return self._session.scalars(query).one_or_none()

    def live(self) -> list[UnitRow]:
        """All that are not archived, by key."""
        query = select(UnitRow).where(self._mine, UnitRow.status != ARCHIVED)
        return list(self._session.scalars(query.order_by(UnitRow.id)))

    def matching(
        self,
        *,
        name: str | None = None,
        product_type: str | None = None,
        product: str | None = None,
        aggregation: str | None = None,
        category: str | None = None,
        status: str | None = None,
        include_archived: bool = False,
    ) -> Select[UnitRow]:
        """The units that meet every filter; name: a part of it, in any case. Archived ones only if asked for."""
        query = select(UnitRow).where(self._mine)
        if name:
            query = query.where(UnitRow.name.icontains(name, autoescape=True))
        if product_type:
            query = query.where(UnitRow.product_types.contains([product_type]))
        if product:
            metering = (ProductUnitRow.tenant_id == self._tenant_id, ProductUnitRow.product_id == product)
            query = query.where(UnitRow.id.in_(select(ProductUnitRow.unit_id).where(*metering)))
        if aggregation:
            query = query.where(UnitRow.aggregation == aggregation)
        if category:
            query = query.where(UnitRow.category == category)
        if status:
            return query.where(UnitRow.status == status)
        return query if include_archived else query.where(UnitRow.status != ARCHIVED)

    def by_word(self, words: Collection[str]) -> dict[str, UnitRow]:
        """The units that go by these keys or names, archived ones too; by the word as given."""
        wanted = {word.lower() for word in words}
        query = select(UnitWordRow.word, UnitRow).join(
            UnitRow, (UnitRow.tenant_id == UnitWordRow.tenant_id) & (UnitRow.id == UnitWordRow.unit_id)
        )
        matching = query.where(UnitWordRow.tenant_id == self._tenant_id, UnitWordRow.word.in_(wanted))
        found = dict(self._session.execute(matching).tuples().all())
        return {word: found[word.lower()] for word in words if word.lower() in found}

    def by_template(self, names: Collection[str]) -> dict[str, UnitRow]:
        """The units made from these templates, archived ones too."""
        rows = self._session.scalars(select(UnitRow).where(self._mine, UnitRow.template.in_(names)))
        return {str(row.template): row for row in rows}

    def add(self, unit: Unit, at: datetime, template: str | None = None) -> UnitRow:
        """Save a new unit. Raises UnitExists."""
        row = UnitRow(
            tenant_id=self._tenant_id,
            id=unit.key,
            template=template,
            status=ACTIVE,
            revision=1,
            created_at=at,
            updated_at=at,
            archived_at=None,
            **unit_values(unit),
        )
        try:
            with self._session.begin_nested():
                self._session.add(row)
                self._session.flush()
        except IntegrityError as error:
            raise UnitExists(f"key: {unit.key!r} is already a unit's; choose another") from error
        self.say([unit])
        return row

    def put(self, row: UnitRow, unit: Unit, at: datetime) -> None:
        """Make the row the unit, one revision on. Raises UnitExists."""
        for column, value in unit_values(unit).items():
            setattr(row, column, value)
        row.status = unit.status
        row.archived_at = (row.archived_at or at) if unit.status == ARCHIVED else None
        row.revision += 1
        row.updated_at = at
        self._session.flush()
        self.say([unit])

    def say(self, units: Iterable[Unit]) -> None:
        """Write down the words these saved units now go by. Raises UnitExists."""
        words = {word: unit.key for unit in units for word in unit.words}
        if not words:
            return
        mine = UnitWordRow.tenant_id == self._tenant_id
        rows = [
            {"tenant_id": self._tenant_id, "word": word, "unit_id": key}
            for word, key in sorted(words.items())
        ]
        try:
            with self._session.begin_nested():
                self._session.execute(
                    delete(UnitWordRow).where(mine, UnitWordRow.unit_id.in_(set(words.values())))
                )
                self._session.execute(insert(UnitWordRow), rows)
        except IntegrityError as error:
            taken = self.by_word(words)
            clashes = {word: row.id for word, row in taken.items() if row.id != words[word]}
            word, other = min(clashes.items(), default=("", ""))
            raise UnitExists(f"name: {word!r} already means unit {other!r}; choose another") from error

    def for_pricing(self, keys: Collection[str]) -> dict[str, UnitRow]:
        """These units, kept from changing until the transaction ends; unknown ones are left out, archived ones are not."""
        query = select(UnitRow).where(self._mine, UnitRow.id.in_(keys)).order_by(UnitRow.id)
        locked = query.with_for_update(read=True).execution_options(populate_existing=True)
        return {row.id: row for row in self._session.scalars(locked)}


def lock_catalog(session: Session, tenant_id: str) -> None:
    """Let nobody else change the tenant's units and products until the transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(lock_id(f"aforo:catalog:{tenant_id}"))))


def share_catalog(session: Session, tenant_id: str) -> None:
    """Let nobody change the tenant's units and products until the transaction ends, in which plans are made of them."""
    session.execute(select(func.pg_advisory_xact_lock_shared(lock_id(f"aforo:catalog:{tenant_id}"))))
