"""Alerts. Put here: listing them. Keep out: raising them (whoever notices), sending them on."""

from __future__ import annotations

from sqlalchemy import select

from storage.repositories.paging import PageQuery, keyset
from storage.tables.wallet_grants import AlertRow
from storage.tenancy import Tx


class Alerts:
    """One tenant's alerts."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def page(
        self, page: PageQuery, *, customer_id: str | None = None, kind: str | None = None
    ) -> tuple[list[AlertRow], int, str | None]:
        """A page of them, the newest first. Raises FieldProblem."""
        query = select(AlertRow).where(AlertRow.tenant_id == self._tx.tenant_id)
        if customer_id is not None:
            query = query.where(AlertRow.customer_id == customer_id)
        if kind is not None:
            query = query.where(AlertRow.kind == kind)
        return keyset(self._tx.session, query, {"-at": AlertRow.at, "id": AlertRow.id}, page)
