"""Billing entities. Put here: creating, editing and archiving issuers, and which is the default. Keep out: invoices, HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.exc import IntegrityError

from domain.catalog.customers import Tenant
from domain.catalog.fields import FieldProblem, Fields
from domain.catalog.issuers import ENTITY_ALIASES, BillingEntity, read_entity, written_entity
from domain.errors import Conflict, NotFound
from domain.subscription_states import TERMINAL
from storage.repositories.billing_entities import BillingEntities as EntityRepository
from storage.repositories.billing_entities import entity_of, entity_values
from storage.repositories.catalog import CatalogRepository
from storage.services.differences import differences, no_expectation
from storage.services.sent import keeps_id, merged, new_id, violated
from storage.tables.customers import CustomerRow, SubscriptionRow
from storage.tables.tenants import BillingEntityRow
from storage.tenancy import Tx

_PLACEHOLDER = BillingEntity()
_CODES = ("code", "entityCode", "id")


class BillingEntityNotFound(NotFound):
    code = "BILLING_ENTITY_NOT_FOUND"

    def __init__(self, entity_id: str) -> None:
        super().__init__(f"billing entity {entity_id!r} does not exist")


class BillingEntityExists(Conflict):
    code = "BILLING_ENTITY_EXISTS"

    def __init__(self, field: str, value: str) -> None:
        super().__init__(f"{field}: {value!r} is another billing entity's; choose another")


class BillingEntityFixed(Conflict):
    """What invoices already rest on stays as it is."""

    code = "BILLING_ENTITY_FIXED"

    def __init__(self, field: str, before: object, after: object, why: str) -> None:
        super().__init__(f"{field}: cannot change from {before} to {after}: {why}")


class BillingEntityInUse(Conflict):
    code = "BILLING_ENTITY_IN_USE"

    def __init__(self, entity_id: str, why: str) -> None:
        super().__init__(f"billing entity {entity_id!r} cannot be archived: {why}")


class BillingEntities:
    """One tenant's issuers."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._entities = EntityRepository(tx.session, tx.tenant_id)

    def matching(self, *, archived: bool = False) -> Select[BillingEntityRow]:
        """The tenant's issuers. archived: those too."""
        query = select(BillingEntityRow).where(BillingEntityRow.tenant_id == self._tx.tenant_id)
        return query if archived else query.where(BillingEntityRow.archived_at.is_(None))

    def get(self, entity_id: str) -> BillingEntityRow:
        """Archived ones too. Raises BillingEntityNotFound."""
        row = self._tx.session.get(BillingEntityRow, (self._tx.tenant_id, entity_id))
        if row is None:
            raise BillingEntityNotFound(entity_id)
        return row

    def create(self, sent: Mapping[str, Any]) -> BillingEntityRow:
        """The first one is the default. Raises FieldProblem, BillingEntityExists."""
        body, wants_default = _split(sent)
        self._entities.lock_default()
        if not any(body.get(name) is not None for name in _CODES):
            body["code"] = new_id("be")
        elif body.get("id") is not None:
            body = {"code": body["id"]} | {name: value for name, value in body.items() if name != "id"}
        code = str(body.get("code") or body.get("entityCode"))
        tenant = self._tenant()
        entity = read_entity(Fields(body, ""), tenant.currency, tenant.time_zone, code.replace("_", "-")[:32])
        row = BillingEntityRow(
            tenant_id=self._tx.tenant_id,
            id=entity.code,
            is_default=False,
            created_at=self._tx.at,
            updated_at=self._tx.at,
            **entity_values(entity),
        )
        self._flush(entity, row)
        self._record("BILLING_ENTITY_CREATED", row, differences({}, written_entity(entity)))
        if wants_default or self._entities.default() is None:
            self._make_default(row)
        return row

    def edit(
        self, entity_id: str, sent: Mapping[str, Any], expect: Callable[[str, int], None] = no_expectation
    ) -> BillingEntityRow:
        """Change the fields sent; null clears one; `isDefault: true` makes it the default instead of the one that is.

        Raises BillingEntityNotFound, StaleEdit, FieldProblem, BillingEntityFixed, BillingEntityExists.
        """
        keeps_id(sent, entity_id, "id")
        body, wants_default = _split({name: value for name, value in sent.items() if name != "id"})
        if wants_default:
            self._entities.lock_default()
        row = self._locked(entity_id, expect)
        before = entity_of(row)
        tenant = self._tenant()
        after = read_entity(
            Fields(merged(written_entity(before), body, ENTITY_ALIASES), ""),
            tenant.currency,
            tenant.time_zone,
        )
        self._check_fixed(row, before, after)
        if wants_default is False and row.is_default:
            what = "one must be the default; make another one the default instead"
            raise FieldProblem("isDefault", what)
        changes = differences(written_entity(before), written_entity(after))
        if changes:
            for name, value in entity_values(after).items():
                setattr(row, name, value)
            row.revision += 1
            row.updated_at = self._tx.at
            self._flush(after)
            self._record("BILLING_ENTITY_UPDATED", row, changes)
        if wants_default and not row.is_default:
            self._make_default(row)
        return row

    def provision_default(self, sent: Mapping[str, Any]) -> BillingEntityRow:
        """The default issuer, filled in with what was sent unless somebody already did. Raises FieldProblem."""
        row = self._entities.default()
        if row is None:
            return self.create({"code": "default", "invoicePrefix": "INV", **_provisioned(sent)})
        row = self._locked(row.id, no_expectation)
        is_untouched = (row.id, row.name, row.revision) == (_PLACEHOLDER.code, _PLACEHOLDER.name, 1)
        if not is_untouched or self._entities.has_numbered(row.id):
            return row
        tenant = self._tenant()
        body = merged(written_entity(entity_of(row)), _provisioned(sent), ENTITY_ALIASES)
        entity = read_entity(Fields(body, ""), tenant.currency, tenant.time_zone)
        changes = differences(written_entity(entity_of(row)), written_entity(entity))
        for name, value in entity_values(entity).items():
            setattr(row, name, value)
        row.revision += 1
        row.updated_at = self._tx.at
        self._tx.session.flush()
        self._record("BILLING_ENTITY_UPDATED", row, changes)
        return row

    def archive(self, entity_id: str, expect: Callable[[str, int], None] = no_expectation) -> None:
        """Archived already: nothing happens. Raises BillingEntityNotFound, StaleEdit, BillingEntityInUse."""
        if self.get(entity_id).archived_at is not None:
            return
        row = self._locked(entity_id, expect)
        if row.is_default:
            raise BillingEntityInUse(entity_id, "it is the default; make another one the default first")
        for noun, count in (
            ("live subscription", self._subscriptions(row)),
            ("customer", self._customers(row)),
        ):
            if count:
                raise BillingEntityInUse(entity_id, f"{count} {noun}{'' if count == 1 else 's'} billed by it")
        row.archived_at = row.updated_at = self._tx.at
        row.revision += 1
        self._tx.session.flush()
        self._record("BILLING_ENTITY_ARCHIVED", row, {})

    def _make_default(self, row: BillingEntityRow) -> None:
        before = self._entities.default()
        self._tx.session.flush()
        self._entities.make_default(row.id)
        self._tx.session.refresh(row)
        changes = {"default": {"before": None if before is None else before.id, "after": row.id}}
        self._record("BILLING_ENTITY_MADE_DEFAULT", row, changes)

    def _check_fixed(self, row: BillingEntityRow, before: BillingEntity, after: BillingEntity) -> None:
        if before.code != after.code:
            raise BillingEntityFixed("code", before.code, after.code, "a code never changes")
        if before.base_currency != after.base_currency:
            why = "its books are kept in it; make another billing entity"
            raise BillingEntityFixed("baseCurrency", before.base_currency, after.base_currency, why)
        if before.invoice_prefix != after.invoice_prefix and self._entities.has_numbered(row.id):
            why = "its invoices are numbered with it"
            raise BillingEntityFixed("invoicePrefix", before.invoice_prefix, after.invoice_prefix, why)

    def _locked(self, entity_id: str, expect: Callable[[str, int], None]) -> BillingEntityRow:
        row = self._entities.locked(entity_id)
        if row is None:
            raise BillingEntityNotFound(entity_id)
        expect(f"billing entity {entity_id}", row.revision)
        return row

    def _subscriptions(self, row: BillingEntityRow) -> int:
        table = SubscriptionRow
        mine = (table.tenant_id == row.tenant_id, table.billing_entity_id == row.id)
        live = select(func.count()).where(*mine, table.status.not_in(list(TERMINAL)))
        return self._tx.session.scalar(live) or 0

    def _customers(self, row: BillingEntityRow) -> int:
        table = CustomerRow
        mine = (table.tenant_id == row.tenant_id, table.billing_entity_id == row.id)
        return self._tx.session.scalar(select(func.count()).where(*mine, table.archived_at.is_(None))) or 0

    def _tenant(self) -> Tenant:
        tenant = CatalogRepository(self._tx.session, self._tx.tenant_id).tenant()
        assert tenant is not None, "the door let an unknown tenant in"
        return tenant

    def _flush(self, entity: BillingEntity, new: BillingEntityRow | None = None) -> None:
        try:
            with self._tx.session.begin_nested():
                if new is not None:
                    self._tx.session.add(new)
                self._tx.session.flush()
        except IntegrityError as error:
            if violated(error) == "uq_billing_entities_tenant_id_invoice_prefix":
                raise BillingEntityExists("invoicePrefix", entity.invoice_prefix) from error
            raise BillingEntityExists("code", entity.code) from error

    def _record(self, action: str, row: BillingEntityRow, changes: Mapping[str, Any]) -> None:
        self._tx.record(action, "billing_entity", row.id, changes)


def _split(sent: Mapping[str, Any]) -> tuple[dict[str, Any], bool | None]:
    """The body without, and the wish for, being the default."""
    fields = Fields(sent, "")
    wish = fields.flag("isDefault") if fields.has("isDefault") else None
    return {name: value for name, value in merged({}, sent).items() if name != "isDefault"}, wish


def _provisioned(sent: Mapping[str, Any]) -> dict[str, Any]:
    """A provisioning request as a billing entity: its country code belongs to the address."""
    fields = Fields(sent, "")
    body = {name: value for name, value in sent.items() if name not in ("tenantId", "countryCode", "address")}
    _, found = fields.raw("address")
    if found is not None and not isinstance(found, Mapping):
        return body | {"address": found}
    address = dict(found or {})
    code = fields.maybe_text("countryCode")
    if code is not None and not any(address.get(name) for name in ("country", "countryCode")):
        address["country"] = code
    return body | ({"address": address} if address else {})
