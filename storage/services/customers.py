"""Customers. Put here: creating, editing and archiving them. Keep out: their contracts, keys and wallets; HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import exists, select, update
from sqlalchemy.exc import IntegrityError

from domain.catalog.customers import (
    CUSTOMER_ALIASES,
    Customer,
    Tenant,
    read_customer,
    written_customer,
)
from domain.catalog.deletion import BLOCK, WARN, DeletionCheck
from domain.catalog.fields import FieldProblem, Fields
from domain.errors import Conflict, NotFound
from storage.repositories.catalog import CatalogRepository
from storage.repositories.customers import Customers as CustomerRepository
from storage.repositories.customers import customer_of, customer_values
from storage.services.customer_deletion import check_customer
from storage.services.differences import differences, no_expectation
from storage.services.key_revocation import revoke_keys_of_customer
from storage.services.sent import keeps_id, merged, require, violated, with_id
from storage.tables.customers import AccessorRow, CustomerRow, SubscriptionRow, TeamRow
from storage.tenancy import Tx

ACTIVE, ARCHIVED = "ACTIVE", "ARCHIVED"
_REQUIRED = ("name", "email", "plan")
_FIXED = {"currency": "defaultCurrency", "time_zone": "timeZone"}


class CustomerNotFound(NotFound):
    code = "CUSTOMER_NOT_FOUND"

    def __init__(self, customer_id: str) -> None:
        super().__init__(f"customer {customer_id!r} does not exist")


class CustomerExists(Conflict):
    code = "CUSTOMER_EXISTS"

    def __init__(self, field: str, value: str | None) -> None:
        super().__init__(f"{field}: {value!r} is another customer's; choose another")


class CustomerArchived(Conflict):
    code = "CUSTOMER_ARCHIVED"

    def __init__(self, customer_id: str) -> None:
        super().__init__(f"customer {customer_id!r} is archived; nothing more can be done with it")


class CustomerSubscribed(Conflict):
    """What billing periods and invoices of running contracts rest on stays as it is."""

    code = "CUSTOMER_SUBSCRIBED"

    def __init__(self, field: str, before: str, after: str) -> None:
        why = "it has subscriptions, whose billing periods and prices would move"
        super().__init__(f"{field}: cannot change from {before} to {after}: {why}")


class CustomerBlocked(Conflict):
    """Something that still runs or is owed depends on the customer."""

    code = "CUSTOMER_BLOCKED"

    def __init__(self, customer_id: str, check: DeletionCheck) -> None:
        super().__init__(f"customer {customer_id!r} cannot be archived: {check.sentence}")


class ConfirmationRequired(Conflict):
    """It can be archived, but something is lost by it."""

    code = "CONFIRMATION_REQUIRED"

    def __init__(self, customer_id: str, check: DeletionCheck) -> None:
        what = f"archiving customer {customer_id!r} asks for confirmation: {check.sentence}"
        super().__init__(f"{what}; repeat with confirm=true")


class Customers:
    """One tenant's customers."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._customers = CustomerRepository(tx.session, tx.tenant_id)

    def create(self, sent: Mapping[str, Any]) -> CustomerRow:
        """Raises FieldProblem, CatalogRefused, CustomerExists."""
        require(sent, *_REQUIRED)
        body = with_id(_without_status(sent), "cus", "id")
        customer = read_customer(Fields(merged({}, body), ""), self._tenant())
        row = CustomerRow(
            tenant_id=self._tx.tenant_id,
            id=customer.id,
            created_at=self._tx.at,
            updated_at=self._tx.at,
            **customer_values(customer),
        )
        self._flush(customer, row)
        self._tx.record("CUSTOMER_CREATED", "customer", row.id, differences({}, written_customer(customer)))
        return row

    def get(self, customer_id: str) -> CustomerRow:
        """Archived ones too. Raises CustomerNotFound."""
        row = self._customers.get(customer_id)
        if row is None:
            raise CustomerNotFound(customer_id)
        return row

    def edit(
        self,
        customer_id: str,
        sent: Mapping[str, Any],
        expect: Callable[[str, int], None] = no_expectation,
        *,
        whole: bool = False,
    ) -> CustomerRow:
        """Change the fields sent, null clears one. whole: the body is the customer, what it leaves out is cleared.

        Raises CustomerNotFound, CustomerArchived, StaleEdit, FieldProblem, CatalogRefused, CustomerSubscribed, CustomerExists.
        """
        keeps_id(sent, customer_id, "id")
        row = self._live(customer_id, expect)
        before = customer_of(row)
        written = {"id": customer_id} if whole else written_customer(before)
        body = merged(written, _without_status(sent), CUSTOMER_ALIASES)
        require(body, *(_REQUIRED if whole else ()))
        after = read_customer(Fields(body, ""), self._tenant())
        changes = differences(written_customer(before), written_customer(after))
        if not changes:
            return row
        self._check_fixed(before, after)
        for name, value in customer_values(after).items():
            setattr(row, name, value)
        row.revision += 1
        row.updated_at = self._tx.at
        self._flush(after)
        self._tx.record("CUSTOMER_UPDATED", "customer", customer_id, changes)
        return row

    def check_deletion(self, customer_id: str) -> DeletionCheck:
        """What stands in the way of archiving. Raises CustomerNotFound."""
        return check_customer(self._tx, self.get(customer_id))

    def archive(
        self,
        customer_id: str,
        *,
        confirm: str | None = None,
        expect: Callable[[str, int], None] = no_expectation,
    ) -> None:
        """Archive it with its teams, apps and agents and revoke its keys; archived already: nothing happens.

        confirm: `true`, or the token of the check, where the check warns. Raises CustomerNotFound, StaleEdit,
        CustomerBlocked, ConfirmationRequired.
        """
        row = self._customers.locked(customer_id)
        if row is None:
            raise CustomerNotFound(customer_id)
        expect(f"customer {customer_id}", row.revision)
        if row.archived_at is not None:
            return
        check = check_customer(self._tx, row)
        if check.decision == BLOCK:
            raise CustomerBlocked(customer_id, check)
        if check.decision == WARN and confirm not in ("true", check.confirm_token):
            raise ConfirmationRequired(customer_id, check)
        row.status, row.archived_at, row.updated_at = ARCHIVED, self._tx.at, self._tx.at
        row.revision += 1
        self._tx.session.flush()
        self._archive_people(customer_id)
        revoke_keys_of_customer(self._tx, customer_id, "its customer was archived")
        changes = {"status": {"before": ACTIVE, "after": ARCHIVED}}
        self._tx.record("CUSTOMER_ARCHIVED", "customer", customer_id, changes)

    def _live(self, customer_id: str, expect: Callable[[str, int], None]) -> CustomerRow:
        row = self._customers.locked(customer_id)
        if row is None:
            raise CustomerNotFound(customer_id)
        expect(f"customer {customer_id}", row.revision)
        if row.archived_at is not None:
            raise CustomerArchived(customer_id)
        return row

    def _tenant(self) -> Tenant:
        tenant = CatalogRepository(self._tx.session, self._tx.tenant_id).tenant()
        assert tenant is not None, "the door let an unknown tenant in"
        return tenant

    def _check_fixed(self, before: Customer, after: Customer) -> None:
        of_customer = (
            SubscriptionRow.tenant_id == self._tx.tenant_id, SubscriptionRow.customer_id == before.id,
        )  # fmt: skip
        for attribute, name in _FIXED.items():
            old, new = getattr(before, attribute), getattr(after, attribute)
            if old != new and self._tx.session.scalar(select(exists().where(*of_customer))):
                raise CustomerSubscribed(name, old, new)

    def _archive_people(self, customer_id: str) -> None:
        for table, values in ((TeamRow, {}), (AccessorRow, {"status": ARCHIVED})):
            self._tx.session.execute(
                update(table)
                .where(
                    table.tenant_id == self._tx.tenant_id,
                    table.customer_id == customer_id,
                    table.archived_at.is_(None),
                )
                .values(
                    archived_at=self._tx.at, updated_at=self._tx.at, revision=table.revision + 1, **values
                )
            )

    def _flush(self, customer: Customer, new: CustomerRow | None = None) -> None:
        try:
            with self._tx.session.begin_nested():
                if new is not None:
                    self._tx.session.add(new)
                self._tx.session.flush()
        except IntegrityError as error:
            if violated(error) == "fk_customers_tenant_id_billing_entity_id":
                raise unknown_entity(customer.billing_entity) from error
            if violated(error) == "uq_customers_external_id_in_use":
                raise CustomerExists("externalId", customer.external_id) from error
            raise CustomerExists("id", customer.id) from error


def unknown_entity(entity: str | None) -> FieldProblem:
    return FieldProblem("billingEntity", f"{entity!r} is no billing entity of this tenant; create it first")


def _without_status(sent: Mapping[str, Any]) -> dict[str, Any]:
    status = sent.get("status")
    if status not in (None, ACTIVE):
        what = f"{status!r} cannot be set; a customer is ACTIVE, and DELETE archives it"
        raise FieldProblem("status", what)
    return {name: value for name, value in sent.items() if name != "status"}
