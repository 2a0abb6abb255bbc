"""Margin levels of customers. Put here: showing and setting them. Keep out: working a margin out, what the doors make of a level."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from domain.access import MarginLevel
from domain.catalog.fields import Fields
from domain.margin_guard import NONE, read_margin_level, written_margin_level
from storage.repositories.customers import Customers
from storage.repositories.limits import margin_level_of
from storage.repositories.paging import PageQuery, keyset
from storage.services.customers import CustomerNotFound
from storage.services.differences import differences, no_expectation
from storage.tables.limits import MarginLevelRow
from storage.tenancy import Tx


@dataclass(frozen=True, slots=True)
class CurrentLevel:
    """A customer's level; revision 0: none was ever set."""

    customer: str
    level: MarginLevel
    revision: int
    updated_at: datetime | None


class MarginLevels:
    """One tenant's customers as far as they are restricted for what they cost. Every change is recorded, with its reason."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def page(self, page: PageQuery, level: str | None = None) -> tuple[list[CurrentLevel], int, str | None]:
        """Levels that were set, by customer. See `keyset`."""
        row = MarginLevelRow
        query = select(row).where(row.tenant_id == self._tx.tenant_id)
        if level is not None:
            query = query.where(row.level == level)
        rows, total, following = keyset(self._tx.session, query, {"customerId": row.customer_id}, page)
        return [_current(each) for each in rows], total, following

    def get(self, customer_id: str) -> CurrentLevel:
        """Raises CustomerNotFound."""
        self._require(customer_id)
        row = self._tx.session.get(MarginLevelRow, (self._tx.tenant_id, customer_id))
        return CurrentLevel(customer_id, MarginLevel(), 0, None) if row is None else _current(row)

    def set(
        self,
        customer_id: str,
        sent: Mapping[str, Any],
        expect: Callable[[str, int], None] = no_expectation,
    ) -> CurrentLevel:
        """Restrict a customer from now on; NONE: no more. Raises CustomerNotFound, StaleEdit, FieldProblem."""
        fields = Fields(sent, "")
        level, reason = read_margin_level(fields), fields.maybe_text("reason")
        fields.done()
        self._require(customer_id)
        row = self._locked(customer_id)
        expect(f"margin level of customer {customer_id}", row.revision)
        before = written_margin_level(margin_level_of(row))
        changes = differences(before, written_margin_level(level))
        if changes:
            row.level, row.message = level.level, level.message
            row.throttle_rate, row.retry_after = level.throttle_rate, level.retry_after
            row.revision += 1
            row.updated_at = self._tx.at
            self._tx.session.flush()
            self._tx.record("MARGIN_LEVEL_SET", "customer", customer_id, changes, reason)
        return _current(row)

    def _locked(self, customer_id: str) -> MarginLevelRow:
        key, usual = (self._tx.tenant_id, customer_id), MarginLevel()
        new = insert(MarginLevelRow).values(
            tenant_id=key[0],
            customer_id=customer_id,
            level=NONE,
            throttle_rate=usual.throttle_rate,
            retry_after=usual.retry_after,
            revision=0,
            updated_at=self._tx.at,
        )
        self._tx.session.execute(new.on_conflict_do_nothing())
        return self._tx.session.get_one(MarginLevelRow, key, with_for_update=True, populate_existing=True)

    def _require(self, customer_id: str) -> None:
        if Customers(self._tx.session, self._tx.tenant_id).get(customer_id) is None:
            raise CustomerNotFound(customer_id)


def _current(row: MarginLevelRow) -> CurrentLevel:
    return CurrentLevel(row.customer_id, margin_level_of(row), row.revision, row.updated_at)
