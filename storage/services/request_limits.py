"""Limits of requests. Put here: showing and replacing them. Keep out: counting requests (the edge), limits in versions of rate plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from domain.catalog.fields import Fields
from domain.errors import NotFound
from domain.request_limits import (
    KEY,
    PLAN,
    read_request_limits,
    stored_request_limits,
    written_request_limits,
)
from storage.repositories.paging import PageQuery, keyset
from storage.services.differences import differences, no_expectation
from storage.tables.catalog import RatePlanRow
from storage.tables.keys import ApiKeyRow
from storage.tables.limits import RequestLimitRow
from storage.tenancy import Tx

_TABLES: Mapping[str, Any] = {PLAN: RatePlanRow, KEY: ApiKeyRow}


class NothingToLimit(NotFound):
    """No such plan or key in this tenant; another tenant's looks the same."""

    code = "NOTHING_TO_LIMIT"

    def __init__(self, scope: str, target: str) -> None:
        what = "rate plan" if scope == PLAN else "API key"
        super().__init__(f"{what} {target!r} does not exist")


@dataclass(frozen=True, slots=True)
class CurrentLimits:
    """What is set for a scope; revision 0: nothing was ever."""

    scope: str
    target: str | None
    limits: list[dict[str, Any]]
    revision: int
    updated_at: datetime | None


class RequestLimits:
    """One tenant's limits. scope: TENANT, EACH_KEY, PLAN or KEY; target: the plan's or key's id."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def page(self, page: PageQuery) -> tuple[list[CurrentLimits], int, str | None]:
        """All that were set, by scope and target. See `keyset`."""
        row = RequestLimitRow
        query = select(row).where(row.tenant_id == self._tx.tenant_id)
        rows, total, following = keyset(self._tx.session, query, {"id": row.id}, page)
        return [_current(each) for each in rows], total, following

    def get(self, scope: str, target: str | None = None) -> CurrentLimits:
        """Raises NothingToLimit."""
        self._require(scope, target)
        row = self._tx.session.get(RequestLimitRow, (self._tx.tenant_id, _id(scope, target)))
        return CurrentLimits(scope, target, [], 0, None) if row is None else _current(row)

    def replace(
        self,
        sent: Mapping[str, Any],
        scope: str,
        target: str | None = None,
        expect: Callable[[str, int], None] = no_expectation,
    ) -> CurrentLimits:
        """These in place of those that were set; none: what holds otherwise. Raises NothingToLimit, StaleEdit, FieldProblem."""
        fields = Fields(sent, "")
        limits = stored_request_limits(read_request_limits(fields))
        fields.done()
        self._require(scope, target)
        row = self._locked(scope, target)
        expect(f"request limits {row.id}", row.revision)
        changes = differences(row.limits, limits)
        if changes:
            row.limits, row.updated_at = limits, self._tx.at
            row.revision += 1
            self._tx.session.flush()
            self._tx.record("REQUEST_LIMITS_UPDATED", "requestLimits", row.id, changes)
        return _current(row)

    def carry_over(self, old_key: str, new_key: str) -> None:
        """A key that takes another's place takes its limits with it."""
        row = self._tx.session.get(RequestLimitRow, (self._tx.tenant_id, _id(KEY, old_key)))
        if row is not None and row.limits:
            self.replace({"limits": written_request_limits(row.limits)}, KEY, new_key)

    def _locked(self, scope: str, target: str | None) -> RequestLimitRow:
        key = (self._tx.tenant_id, _id(scope, target))
        new = insert(RequestLimitRow).values(
            tenant_id=key[0],
            id=key[1],
            scope=scope,
            plan_id=target if scope == PLAN else None,
            key_id=target if scope == KEY else None,
            limits={},
            revision=0,
            updated_at=self._tx.at,
        )
        self._tx.session.execute(new.on_conflict_do_nothing())
        return self._tx.session.get_one(RequestLimitRow, key, with_for_update=True, populate_existing=True)

    def _require(self, scope: str, target: str | None) -> None:
        if target is not None and self._tx.session.get(_TABLES[scope], (self._tx.tenant_id, target)) is None:
            raise NothingToLimit(scope, target)


def _id(scope: str, target: str | None) -> str:
    return scope if target is None else f"{scope}/{target}"


def _current(row: RequestLimitRow) -> CurrentLimits:
    limits = written_request_limits(row.limits)
    return CurrentLimits(row.scope, row.plan_id or row.key_id, limits, row.revision, row.updated_at)
