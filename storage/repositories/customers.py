"""Customers. Put here: loading and saving them. Keep out: their contracts and keys."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.catalog.customers import Customer
from storage.repositories.catalog import save_rows
from storage.tables.customers import CustomerRow


class Customers:
    """One tenant's customers."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def all(self) -> dict[str, Customer]:
        query = select(CustomerRow).where(CustomerRow.tenant_id == self._tenant_id).order_by(CustomerRow.id)
        return {
            row.id: Customer(row.id, row.name, row.currency, row.time_zone, row.email, row.plan)
            for row in self._session.scalars(query)
        }

    def save(self, customers: Iterable[Customer]) -> None:
        rows = [
            {
                "id": customer.id,
                "name": customer.name,
                "email": customer.email,
                "plan": customer.plan,
                "currency": customer.currency,
                "time_zone": customer.time_zone,
            }
            for customer in customers
        ]
        save_rows(self._session, self._tenant_id, CustomerRow, rows)
