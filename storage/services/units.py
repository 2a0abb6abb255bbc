"""Billable units. Put here: creating, editing and archiving one. Keep out: sets of them (unit_sets.py), HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from domain.catalog.deletion import DeletionCheck, judged
from domain.catalog.fields import FieldProblem, Fields
from domain.catalog.units import ARCHIVED, Unit, key_of, read_unit, unit_document
from domain.errors import Conflict, NotFound
from storage.repositories.dependents import Dependents
from storage.repositories.paging import Page, PageQuery, keyset
from storage.repositories.products import ProductRepository
from storage.repositories.units import UnitExists, UnitRepository, lock_catalog, unit_of
from storage.services.differences import differences, no_expectation
from storage.services.edits import changed, confirmed, written
from storage.tables.catalog import UnitRow
from storage.tenancy import Tx

Expect = Callable[[str, int], None]
SPELLINGS = {"aggregation": "aggregationType", "filters": "filterConditions"}
_KEPT = ("key", "status")
_LOCKED = {
    "aggregation": "aggregationType", "event_field": "eventField", "filters": "filterConditions",
}  # fmt: skip


class UnitNotFound(NotFound):
    code = "METRIC_NOT_FOUND"

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no unit {key!r}")


class AggregationLocked(Conflict):
    """What a priced unit counts is part of what was agreed."""

    code = "AGGREGATION_LOCKED"


class UnitBlocked(Conflict):
    """Active subscriptions stand on the unit."""

    code = "METRIC_BLOCKED"


class Units:
    """One tenant's units, changed by one at a time."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.rows = UnitRepository(tx.session, tx.tenant_id)
        self._dependents = Dependents(tx.session, tx.tenant_id, tx.at)

    def listing(self, page: PageQuery, **filters: Any) -> Page:
        """filters: see UnitRepository.matching."""
        columns = {"key": UnitRow.id, "name": UnitRow.name, "createdAt": UnitRow.created_at, "id": UnitRow.id}
        rows, total, following = keyset(self._tx.session, self.rows.matching(**filters), columns, page)
        return Page([shown_unit(row) for row in rows], total, following)

    def get(self, key: str) -> UnitRow:
        """Archived ones too. Raises UnitNotFound."""
        row = self.rows.get(key)
        if row is None:
            raise UnitNotFound(key)
        return row

    def create(self, sent: Mapping[str, Any]) -> UnitRow:
        """A new unit; without a key it gets one from its name. Raises FieldProblem, UnitExists."""
        lock_catalog(self._tx.session, self._tx.tenant_id)
        unit = read_new(sent)
        self.refuse_taken(unit)
        return self.add(unit)

    def add(self, unit: Unit, template: str | None = None) -> UnitRow:
        """Save a unit that was read, and record it. Raises UnitExists."""
        row = self.rows.add(unit, self._tx.at, template)
        self._tx.record("UNIT_CREATED", "unit", row.id, differences({}, unit_document(unit)))
        return row

    def edit(
        self, key: str, sent: Mapping[str, Any], *, replace: bool = False, expect: Expect = no_expectation
    ) -> UnitRow:
        """Change the fields sent, or (replace) all of them. An archived unit is restored by `status: ACTIVE`.

        Raises UnitNotFound, StaleEdit, FieldProblem, UnitExists, AggregationLocked.
        """
        lock_catalog(self._tx.session, self._tx.tenant_id)
        row = self._locked(key, expect)
        before = unit_of(row)
        document = changed(unit_document(before), sent, SPELLINGS, replace=replace, kept=_KEPT)
        after = read_unit(Fields(document, ""))
        if after.status == ARCHIVED and before.status != ARCHIVED:
            raise FieldProblem("status", "is not set to ARCHIVED by an edit; delete the unit instead")
        self._refuse_locked(before, after)
        self.refuse_taken(after, key)
        return self._put(row, before, after, "UNIT_UPDATED")

    def restore(self, row: UnitRow) -> UnitRow:
        """Make an archived unit count again; its words never became another's."""
        before = unit_of(row)
        document = {**unit_document(before), "status": "ACTIVE"}
        return self._put(row, before, read_unit(Fields(document, "")), "UNIT_RESTORED")

    def deletion_check(self, key: str) -> DeletionCheck:
        """What archiving it would do to others. Raises UnitNotFound."""
        row = self.get(key)
        identity = (self._tx.tenant_id, "unit", key, row.revision)
        return judged(identity, self._dependents.of_unit(key))

    def archive(self, key: str, confirm: str | None = None, expect: Expect = no_expectation) -> None:
        """No event and no new plan may name it any more; plans that price it go on. Archived already: nothing happens.

        Raises UnitNotFound, StaleEdit, UnitBlocked, ConfirmationNeeded.
        """
        lock_catalog(self._tx.session, self._tx.tenant_id)
        row = self._locked(key, expect)
        if row.status == ARCHIVED:
            return
        confirmed(self.deletion_check(key), confirm, UnitBlocked)
        before = unit_of(row)
        row.status, row.archived_at = ARCHIVED, self._tx.at
        row.revision, row.updated_at = row.revision + 1, self._tx.at
        metered = ProductRepository(self._tx.session, self._tx.tenant_id).unlink_unit(key, self._tx.at)
        changes = differences({"status": before.status, "products": metered}, {"status": ARCHIVED})
        self._tx.record("UNIT_ARCHIVED", "unit", key, changes)

    def refuse_taken(self, unit: Unit, own: str | None = None) -> None:
        """Events name a unit by key or name, so both must mean it alone. own: the key of the unit this becomes. Raises UnitExists."""
        taken = self.rows.by_word((unit.key, unit.name))
        for field, word in (("key", unit.key), ("name", unit.name)):
            other = taken.get(word)
            if other is not None and other.id != own:
                raise UnitExists(f"{field}: {word!r} already means unit {other.id!r}; {_way_out(other)}")

    def _put(self, row: UnitRow, before: Unit, after: Unit, action: str) -> UnitRow:
        changes = differences(unit_document(before), unit_document(after))
        if changes:
            self.rows.put(row, after, self._tx.at)
            self._tx.record(action, "unit", row.id, changes)
        return row

    def _refuse_locked(self, before: Unit, after: Unit) -> None:
        for attribute, field in _LOCKED.items():
            if getattr(before, attribute) != getattr(after, attribute) and self._dependents.is_priced(
                before.key
            ):
                why = "a rate plan prices this unit, so what it counts stays; make a new unit instead"
                raise AggregationLocked(f"{field}: {why}")

    def _locked(self, key: str, expect: Expect) -> UnitRow:
        row = self.rows.get(key, lock=True)
        if row is None:
            raise UnitNotFound(key)
        expect(f"unit {key!r}", row.revision)
        return row


def read_new(sent: Mapping[str, Any], path: str = "") -> Unit:
    """A unit that is to be created. Raises FieldProblem."""
    body = written(sent)
    if body.get("key") is None:
        name = Fields(body, path).maybe_text("name")
        if name is None:
            raise FieldProblem(Fields(body, path).at("name"), "is missing; write some text")
        body["key"] = key_of(name) or f"unt_{secrets.token_hex(8)}"
    unit = read_unit(Fields(body, path))
    if unit.status == ARCHIVED:
        raise FieldProblem(Fields(body, path).at("status"), "is not ARCHIVED from the start; leave it out")
    return unit


def shown_unit(row: UnitRow) -> dict[str, Any]:
    """A unit as answers tell it; instants are datetimes."""
    return {
        "id": row.id,
        **unit_document(unit_of(row)),
        "template": row.template,
        "revision": row.revision,
        "createdAt": row.created_at,
        "updatedAt": row.updated_at,
        "archivedAt": row.archived_at,
    }


def _way_out(other: UnitRow) -> str:
    return "it is archived: restore it (status ACTIVE)" if other.status == ARCHIVED else "choose another"
