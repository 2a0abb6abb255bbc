"""Teams, apps and agents. Put here: creating, editing, suspending and archiving them. Keep out: their keys, HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError

from domain.catalog.fields import FieldProblem, Fields
from domain.errors import Conflict, NotFound
from domain.people import (
    ACCESSOR_ALIASES,
    AGENT,
    TEAM_ALIASES,
    Accessor,
    read_accessor,
    read_team,
    written_accessor,
    written_team,
)
from storage.repositories.people import accessor_of, accessor_values, team_of, team_values
from storage.services.differences import differences, no_expectation
from storage.services.sent import keeps_id, merged, violated, with_id
from storage.tables.customers import AccessorRow, CustomerRow, TeamRow
from storage.tables.keys import ApiKeyRow
from storage.tenancy import Tx

ACTIVE, SUSPENDED, ARCHIVED = "ACTIVE", "SUSPENDED", "ARCHIVED"
_USABLE_KEYS = ("ACTIVE", "SUSPENDED", "PENDING_REVOCATION")


class TeamNotFound(NotFound):
    code = "TEAM_NOT_FOUND"

    def __init__(self, team_id: str) -> None:
        super().__init__(f"team {team_id!r} does not exist")


class AccessorNotFound(NotFound):
    code = "ACCESSOR_NOT_FOUND"

    def __init__(self, noun: str, accessor_id: str) -> None:
        super().__init__(f"{noun} {accessor_id!r} does not exist")


class NameTaken(Conflict):
    code = "NAME_TAKEN"

    def __init__(self, noun: str, name: str, customer: str) -> None:
        super().__init__(
            f"name: customer {customer!r} already has a {noun} called {name!r}, or its id; choose another"
        )


class TeamInUse(Conflict):
    code = "TEAM_IN_USE"

    def __init__(self, team_id: str, accessors: list[str]) -> None:
        some = ", ".join(accessors[:5])
        super().__init__(
            f"team {team_id!r} still has {len(accessors)} apps or agents ({some}); move them first"
        )


class AccessorInUse(Conflict):
    code = "ACCESSOR_IN_USE"

    def __init__(self, accessor_id: str, keys: list[str]) -> None:
        some = ", ".join(keys[:5])
        super().__init__(f"{accessor_id!r} still has {len(keys)} usable keys ({some}); revoke them first")


class Teams:
    """One tenant's teams."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def matching(
        self, *, customer: str | None = None, name: str | None = None, archived: bool = False
    ) -> Select[TeamRow]:
        return _matching(TeamRow, self._tx, customer=customer, name=name, archived=archived)

    def get(self, team_id: str) -> TeamRow:
        """Archived ones too. Raises TeamNotFound."""
        row = self._tx.session.get(TeamRow, (self._tx.tenant_id, team_id))
        if row is None:
            raise TeamNotFound(team_id)
        return row

    def create(self, sent: Mapping[str, Any]) -> TeamRow:
        """A budget without a currency is in the customer's. Raises FieldProblem, NameTaken."""
        body = merged({}, with_id(sent, "team", "id"))
        team = read_team(Fields(body, ""), _currency(self._tx, body))
        live_customer(self._tx, team.customer)
        row = TeamRow(
            tenant_id=self._tx.tenant_id,
            id=team.id,
            created_at=self._tx.at,
            updated_at=self._tx.at,
            **team_values(team),
        )
        self._flush(team.name, team.customer, row)
        self._tx.record("TEAM_CREATED", "team", row.id, differences({}, written_team(team)))
        return row

    def edit(
        self, team_id: str, sent: Mapping[str, Any], expect: Callable[[str, int], None] = no_expectation
    ) -> TeamRow:
        """Change the fields sent; null clears one. Raises TeamNotFound, StaleEdit, FieldProblem, NameTaken."""
        keeps_id(sent, team_id, "id")
        row = self._locked(team_id, expect)
        before = team_of(row)
        body = merged(written_team(before), sent, TEAM_ALIASES)
        after = read_team(Fields(body, ""), _currency(self._tx, body))
        _keeps_customer(before.customer, after.customer)
        changes = differences(written_team(before), written_team(after))
        if changes:
            _put(row, team_values(after), self._tx)
            self._flush(after.name, after.customer)
            self._tx.record("TEAM_UPDATED", "team", team_id, changes)
        return row

    def archive(self, team_id: str, expect: Callable[[str, int], None] = no_expectation) -> None:
        """Archived already: nothing happens. Raises TeamNotFound, StaleEdit, TeamInUse."""
        if self.get(team_id).archived_at is not None:
            return
        row = self._locked(team_id, expect)
        members = select(AccessorRow.id).where(
            AccessorRow.tenant_id == self._tx.tenant_id,
            AccessorRow.team_id == team_id,
            AccessorRow.archived_at.is_(None),
        )
        found = list(self._tx.session.scalars(members.order_by(AccessorRow.id)))
        if found:
            raise TeamInUse(team_id, found)
        _put(row, {"archived_at": self._tx.at}, self._tx)
        self._tx.record("TEAM_ARCHIVED", "team", team_id)

    def _locked(self, team_id: str, expect: Callable[[str, int], None]) -> TeamRow:
        row = _locked(TeamRow, self._tx, team_id)
        if row is None:
            raise TeamNotFound(team_id)
        expect(f"team {team_id}", row.revision)
        return row

    def _flush(self, name: str, customer: str, new: TeamRow | None = None) -> None:
        _flush(self._tx, new, lambda _: NameTaken("team", name, customer))


class Accessors:
    """One tenant's apps, or its agents. kind: APP or AGENT."""

    def __init__(self, tx: Tx, kind: str) -> None:
        self._tx = tx
        self._kind = kind
        self._noun = kind.lower()
        self._prefix = "agt" if kind == AGENT else "app"

    def matching(
        self,
        *,
        customer: str | None = None,
        team: str | None = None,
        name: str | None = None,
        status: str | None = None,
        archived: bool = False,
    ) -> Select[AccessorRow]:
        shown = archived or status == ARCHIVED
        query = _matching(AccessorRow, self._tx, customer=customer, name=name, archived=shown)
        query = query.where(AccessorRow.type == self._kind)
        if team is not None:
            query = query.where(AccessorRow.team_id == team)
        return query if status is None else query.where(AccessorRow.status == status)

    def get(self, accessor_id: str) -> AccessorRow:
        """Archived ones too. Raises AccessorNotFound."""
        row = self._tx.session.get(AccessorRow, (self._tx.tenant_id, accessor_id))
        if row is None or row.type != self._kind:
            raise AccessorNotFound(self._noun, accessor_id)
        return row

    def create(self, sent: Mapping[str, Any]) -> AccessorRow:
        """Raises FieldProblem, NameTaken."""
        accessor = read_accessor(Fields(merged({}, with_id(sent, self._prefix, "id")), ""), self._kind)
        live_customer(self._tx, accessor.customer)
        self._check_team(accessor)
        row = AccessorRow(
            tenant_id=self._tx.tenant_id,
            id=accessor.id,
            created_at=self._tx.at,
            updated_at=self._tx.at,
            **accessor_values(accessor),
        )
        self._flush(accessor, row)
        self._record("CREATED", row.id, differences({}, written_accessor(accessor)))
        return row

    def edit(
        self, accessor_id: str, sent: Mapping[str, Any], expect: Callable[[str, int], None] = no_expectation
    ) -> AccessorRow:
        """Change the fields sent; null clears one. Raises AccessorNotFound, StaleEdit, FieldProblem, NameTaken."""
        keeps_id(sent, accessor_id, "id")
        row = self._locked(accessor_id, expect)
        before = accessor_of(row)
        body = merged(written_accessor(before), sent, ACCESSOR_ALIASES)
        after = read_accessor(Fields(body, ""), self._kind)
        _keeps_customer(before.customer, after.customer)
        self._check_team(after)
        changes = differences(written_accessor(before), written_accessor(after))
        if changes:
            _put(row, accessor_values(after), self._tx)
            self._flush(after)
            self._record("UPDATED", accessor_id, changes)
        return row

    def suspend(
        self, accessor_id: str, reason: str | None, expect: Callable[[str, int], None] = no_expectation
    ) -> AccessorRow:
        """Its keys open nothing until it is reactivated. Raises AccessorNotFound, StaleEdit."""
        return self._become(SUSPENDED, "SUSPENDED", accessor_id, reason, expect)

    def reactivate(
        self, accessor_id: str, reason: str | None, expect: Callable[[str, int], None] = no_expectation
    ) -> AccessorRow:
        """Its keys work again. Raises AccessorNotFound, StaleEdit."""
        return self._become(ACTIVE, "REACTIVATED", accessor_id, reason, expect)

    def archive(self, accessor_id: str, expect: Callable[[str, int], None] = no_expectation) -> None:
        """Archived already: nothing happens. Raises AccessorNotFound, StaleEdit, AccessorInUse."""
        if self.get(accessor_id).archived_at is not None:
            return
        row = self._locked(accessor_id, expect)
        keys = select(ApiKeyRow.id).where(
            ApiKeyRow.tenant_id == self._tx.tenant_id,
            ApiKeyRow.accessor_id == accessor_id,
            ApiKeyRow.status.in_(_USABLE_KEYS),
        )
        found = list(self._tx.session.scalars(keys.order_by(ApiKeyRow.id)))
        if found:
            raise AccessorInUse(accessor_id, found)
        changes = {"status": {"before": row.status, "after": ARCHIVED}}
        _put(row, {"status": ARCHIVED, "archived_at": self._tx.at}, self._tx)
        self._record("ARCHIVED", accessor_id, changes)

    def _become(
        self,
        status: str,
        done: str,
        accessor_id: str,
        reason: str | None,
        expect: Callable[[str, int], None],
    ) -> AccessorRow:
        row = self._locked(accessor_id, expect)
        if row.status != status:
            changes = {"status": {"before": row.status, "after": status}}
            _put(row, {"status": status}, self._tx)
            self._record(done, accessor_id, changes, reason)
        return row

    def _locked(self, accessor_id: str, expect: Callable[[str, int], None]) -> AccessorRow:
        row = _locked(AccessorRow, self._tx, accessor_id)
        if row is None or row.type != self._kind:
            raise AccessorNotFound(self._noun, accessor_id)
        expect(f"{self._noun} {accessor_id}", row.revision)
        return row

    def _check_team(self, accessor: Accessor) -> None:
        if accessor.team is None:
            return
        team = self._tx.session.get(
            TeamRow, (self._tx.tenant_id, accessor.team), with_for_update={"read": True}
        )
        if team is None or team.archived_at is not None or team.customer_id != accessor.customer:
            what = f"{accessor.team!r} is no team of customer {accessor.customer!r}; create it first"
            raise FieldProblem("teamId", what)

    def _flush(self, accessor: Accessor, new: AccessorRow | None = None) -> None:
        _flush(self._tx, new, lambda _: NameTaken(self._noun, accessor.name, accessor.customer))

    def _record(
        self, done: str, accessor_id: str, changes: Mapping[str, Any], reason: str | None = None
    ) -> None:
        self._tx.record(f"{self._kind}_{done}", self._noun, accessor_id, changes, reason)


def live_customer(tx: Tx, customer_id: str) -> CustomerRow:
    """The customer, kept from being archived until the transaction ends. Raises FieldProblem."""
    key = (tx.tenant_id, customer_id)
    row = tx.session.get(CustomerRow, key, with_for_update={"read": True}, populate_existing=True)
    if row is None or row.archived_at is not None:
        raise FieldProblem("customerId", f"{customer_id!r} is no customer of this tenant; create it first")
    return row


def _matching(table: Any, tx: Tx, *, customer: str | None, name: str | None, archived: bool) -> Select[Any]:
    query = select(table).where(table.tenant_id == tx.tenant_id)
    if customer is not None:
        query = query.where(table.customer_id == customer)
    if name is not None:
        query = query.where(table.name.icontains(name, autoescape=True))
    return query if archived else query.where(table.archived_at.is_(None))


def _locked(table: Any, tx: Tx, identifier: str) -> Any:
    row = tx.session.get(table, (tx.tenant_id, identifier), with_for_update=True, populate_existing=True)
    return None if row is None or row.archived_at is not None else row


def _put(row: Any, values: Mapping[str, Any], tx: Tx) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    row.revision += 1
    row.updated_at = tx.at


def _keeps_customer(before: str, after: str) -> None:
    if before != after:
        raise FieldProblem(
            "customerId", f"cannot change from {before!r} to {after!r}; create another one there"
        )


def _currency(tx: Tx, body: Mapping[str, Any]) -> str | None:
    """The customer's currency, for a budget that names none."""
    customer_id = body.get("customerId") or body.get("customer")
    row = tx.session.get(CustomerRow, (tx.tenant_id, str(customer_id)))
    return None if row is None else row.currency


def _flush(tx: Tx, new: Any, taken: Callable[[str], Conflict]) -> None:
    try:
        with tx.session.begin_nested():
            if new is not None:
                tx.session.add(new)
            tx.session.flush()
    except IntegrityError as error:
        raise taken(violated(error)) from error
