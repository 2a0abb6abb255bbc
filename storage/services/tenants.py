"""Tenants. Put here: making, finding and archiving them. Keep out: what belongs to a tenant, HTTP.

Works in an installation's transaction: a tenant that does not exist yet cannot have one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import insert

from domain.catalog.fields import Fields
from domain.catalog.issuers import BillingEntity
from domain.catalog.tenants import NewTenant, read_new_tenant
from domain.errors import Conflict, NotFound
from storage.repositories.billing_entities import BillingEntities
from storage.services.differences import differences, no_expectation
from storage.services.sent import merged, with_id
from storage.tables.tenants import TenantRow
from storage.tenancy import Tx


class TenantNotFound(NotFound):
    code = "TENANT_NOT_FOUND"

    def __init__(self, tenant_id: str) -> None:
        super().__init__(f"tenant {tenant_id!r} does not exist")


class TenantExists(Conflict):
    code = "TENANT_EXISTS"

    def __init__(self, tenant_id: str) -> None:
        super().__init__(f"id: {tenant_id!r} is another tenant's, perhaps an archived one's; choose another")


class Tenants:
    """All tenants of the installation. tx: of `installation_tx`."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def matching(self, *, external_id: str | None = None, archived: bool = False) -> Select[TenantRow]:
        query = select(TenantRow)
        if external_id is not None:
            query = query.where(TenantRow.external_id == external_id)
        return query if archived else query.where(TenantRow.archived_at.is_(None))

    def get(self, tenant_id: str) -> TenantRow:
        """Raises TenantNotFound, for archived ones too."""
        row = self._tx.session.get(TenantRow, tenant_id)
        if row is None or row.archived_at is not None:
            raise TenantNotFound(tenant_id)
        return row

    def create(self, sent: Mapping[str, Any]) -> tuple[TenantRow, bool]:
        """The tenant with a default issuer, and whether it is new: an external id in use gives the tenant that has it.

        Raises FieldProblem, TenantExists.
        """
        tenant = read_new_tenant(Fields(merged({}, with_id(sent, "ten", "id")), ""))
        row = self._insert(tenant)
        if row is None:
            found = (
                tenant.external_id
                and self._tx.session.scalars(self.matching(external_id=tenant.external_id)).one_or_none()
            )
            if not found:
                raise TenantExists(tenant.id)
            return found, False
        issuer = BillingEntity(base_currency=tenant.currency, time_zone=tenant.time_zone)
        BillingEntities(self._tx.session, tenant.id).save_default(issuer)
        changes = differences({}, _recorded(tenant))
        self._tx.of(tenant.id).record("TENANT_CREATED", "tenant", tenant.id, changes)
        return row, True

    def archive(self, tenant_id: str, expect: Callable[[str, int], None] = no_expectation) -> None:
        """Hide it and let its keys open nothing; nothing is deleted. Archived already: nothing happens.

        Raises TenantNotFound, StaleEdit.
        """
        row = self._tx.session.get(TenantRow, tenant_id, with_for_update=True, populate_existing=True)
        if row is None:
            raise TenantNotFound(tenant_id)
        expect(f"tenant {tenant_id}", row.revision)
        if row.archived_at is not None:
            return
        row.archived_at = row.updated_at = self._tx.at
        row.revision += 1
        self._tx.session.flush()
        changes = {"archived": {"before": False, "after": True}}
        self._tx.of(tenant_id).record("TENANT_ARCHIVED", "tenant", tenant_id, changes)

    def _insert(self, tenant: NewTenant) -> TenantRow | None:
        """None: its id or external id is in use. Two at once: one waits, then sees the other's."""
        statement = (
            insert(TenantRow)
            .values(
                id=tenant.id,
                name=tenant.name,
                currency=tenant.currency,
                time_zone=tenant.time_zone,
                external_id=tenant.external_id,
                tier=tenant.tier,
                description=tenant.description,
                details={"metadata": dict(tenant.metadata)},
                created_at=self._tx.at,
                updated_at=self._tx.at,
            )
            .on_conflict_do_nothing()
            .returning(TenantRow)
        )
        return self._tx.session.scalars(statement).one_or_none()


def _recorded(tenant: NewTenant) -> dict[str, Any]:
    return {
        "name": tenant.name,
        "externalId": tenant.external_id,
        "tier": tenant.tier,
        "description": tenant.description,
        "metadata": dict(tenant.metadata) or None,
    }
