"""Billing entities. Put here: their rows as domain nouns and back, finding them. Keep out: what may change, invoices."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from domain.catalog.issuers import BillingEntity, read_details, written_entity
from storage.tables.invoices import InvoiceSequenceRow
from storage.tables.tenants import BillingEntityRow, TenantRow

DETAILS = ("address", "taxRegistration", "registeredIn", "branding")


def entity_of(row: BillingEntityRow) -> BillingEntity:
    """The row as the domain knows it."""
    return BillingEntity(
        code=row.id,
        name=row.name,
        invoice_prefix=row.invoice_prefix,
        rounding=row.rounding,
        legal_name=row.legal_name,
        base_currency=row.base_currency,
        reporting_currency=row.reporting_currency,
        time_zone=row.time_zone,
        number_format=row.number_format,
        **read_details(row.details),
    )


def entity_values(entity: BillingEntity) -> dict[str, Any]:
    """The columns of the entity's row, without tenant, id and whether it is the default."""
    written = written_entity(entity)
    return {
        "name": entity.name,
        "legal_name": entity.legal_name,
        "base_currency": entity.base_currency,
        "reporting_currency": entity.reporting_currency,
        "time_zone": entity.time_zone,
        "invoice_prefix": entity.invoice_prefix,
        "number_format": entity.number_format,
        "rounding": entity.rounding,
        "details": {name: written[name] for name in DETAILS if name in written},
    }


class BillingEntities:
    """One tenant's issuers."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def default(self) -> BillingEntityRow | None:
        """The default issuer; None: the tenant has none yet."""
        query = select(BillingEntityRow).where(
            BillingEntityRow.tenant_id == self._tenant_id, BillingEntityRow.is_default
        )
        return self._session.scalars(query).one_or_none()

    def all(self) -> dict[str, BillingEntity]:
        """Every issuer in use, by its code."""
        query = select(BillingEntityRow).where(
            BillingEntityRow.tenant_id == self._tenant_id, BillingEntityRow.archived_at.is_(None)
        )
        return {row.id: entity_of(row) for row in self._session.scalars(query.order_by(BillingEntityRow.id))}

    def locked(self, entity_id: str) -> BillingEntityRow | None:
        """The issuer in use, nobody else changing it."""
        row = self._session.get(
            BillingEntityRow, (self._tenant_id, entity_id), with_for_update=True, populate_existing=True
        )
        return None if row is None or row.archived_at is not None else row

    def has_numbered(self, entity_id: str) -> bool:
        """Whether an invoice was ever numbered by it."""
        table = InvoiceSequenceRow
        numbered = exists().where(table.tenant_id == self._tenant_id, table.billing_entity == entity_id)
        return bool(self._session.scalar(select(numbered)))

    def lock_default(self) -> None:
        """Let nobody else choose a default until the transaction ends. Before any issuer's row is locked, lest two wait for each
        other."""
        query = select(TenantRow.id).where(TenantRow.id == self._tenant_id)
        self._session.execute(query.with_for_update(key_share=True))

    def make_default(self, entity_id: str) -> None:
        """The one default, in two steps: the database never sees two. Call lock_default first."""
        table = BillingEntityRow
        of_tenant = update(table).where(table.tenant_id == self._tenant_id)
        self._session.execute(
            of_tenant.where(table.is_default, table.id != entity_id).values(is_default=False)
        )
        self._session.execute(of_tenant.where(table.id == entity_id).values(is_default=True))

    def save_default(self, entity: BillingEntity) -> None:
        """The entity as it now is, and as the default."""
        self.lock_default()
        values = entity_values(entity)
        statement = upsert(BillingEntityRow).values(
            tenant_id=self._tenant_id, id=entity.code, is_default=False, **values
        )
        changed = values | {"revision": BillingEntityRow.revision + 1, "archived_at": None}
        self._session.execute(
            statement.on_conflict_do_update(index_elements=["tenant_id", "id"], set_=changed)
        )
        self.make_default(entity.code)
