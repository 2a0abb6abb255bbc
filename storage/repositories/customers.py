"""Customers. Put here: loading, saving and finding them. Keep out: their contracts and keys, what may change (services)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from domain.catalog.customers import Customer, read_details, written_customer
from storage.repositories.among import among
from storage.tables.customers import CustomerRow

DETAILS = ("taxStatus", "address", "metadata", "paymentDueDays")


def customer_of(row: CustomerRow) -> Customer:
    """The row as the domain knows it."""
    tax, address, metadata = read_details(row.details)
    return Customer(
        id=row.id,
        name=row.name,
        currency=row.currency,
        time_zone=row.time_zone,
        email=row.email,
        plan=row.plan,
        external_id=row.external_id,
        tax=tax,
        address=address,
        billing_entity=row.billing_entity_id,
        metadata=metadata,
        payment_due_days=row.details.get("paymentDueDays"),
    )


def customer_values(customer: Customer) -> dict[str, Any]:
    """The columns of the customer's row, without tenant and id."""
    written = written_customer(customer)
    return {
        "name": customer.name,
        "email": customer.email,
        "plan": customer.plan,
        "currency": customer.currency,
        "time_zone": customer.time_zone,
        "external_id": customer.external_id,
        "billing_entity_id": customer.billing_entity,
        "details": {name: written[name] for name in DETAILS if name in written},
    }


class Customers:
    """One tenant's customers."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def all(self, only: Collection[str] | None = None) -> dict[str, Customer]:
        """Every customer (or only these) by id, archived ones too: their past usage is still billed."""
        query = select(CustomerRow).where(CustomerRow.tenant_id == self._tenant_id).order_by(CustomerRow.id)
        if only is not None:
            query = query.where(among(CustomerRow.id, only))
        return {row.id: customer_of(row) for row in self._session.scalars(query)}

    def get(self, customer_id: str) -> CustomerRow | None:
        """The customer, archived or not."""
        return self._session.get(CustomerRow, (self._tenant_id, customer_id))

    def locked(self, customer_id: str) -> CustomerRow | None:
        """The customer as it is now, nobody else changing it until the transaction ends."""
        key = (self._tenant_id, customer_id)
        return self._session.get(CustomerRow, key, with_for_update=True, populate_existing=True)

    def matching(
        self,
        *,
        name: str | None = None,
        email: str | None = None,
        external_id: str | None = None,
        status: str | None = None,
        archived: bool = False,
    ) -> Select[CustomerRow]:
        """Customers with these words in their name and exactly these other fields. archived: those too."""
        query = select(CustomerRow).where(CustomerRow.tenant_id == self._tenant_id)
        if name is not None:
            query = query.where(CustomerRow.name.icontains(name, autoescape=True))
        if email is not None:
            query = query.where(CustomerRow.email == email)
        if external_id is not None:
            query = query.where(CustomerRow.external_id == external_id)
        if status is not None:
            query = query.where(CustomerRow.status == status)
        if not archived and status is None:
            query = query.where(CustomerRow.archived_at.is_(None))
        return query

    def save(self, customers: Iterable[Customer]) -> None:
        """Insert them, or update those whose id is there already."""
        rows = [
            {"tenant_id": self._tenant_id, "id": customer.id, **customer_values(customer)}
            for customer in customers
        ]
        if not rows:
            return
        statement = upsert(CustomerRow)
        changed = {name: statement.excluded[name] for name in rows[0] if name not in ("tenant_id", "id")}
        changed |= {"revision": CustomerRow.revision + 1, "updated_at": func.now()}
        self._session.execute(
            statement.on_conflict_do_update(index_elements=["tenant_id", "id"], set_=changed), rows
        )
