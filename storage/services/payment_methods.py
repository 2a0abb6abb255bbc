"""Payment methods. Put here: adding and removing customers' means of payment, and which is the default. Keep out: charging, HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update

from domain.catalog.fields import Fields
from domain.errors import BadRequest, NotFound
from domain.payment import read_payment_method
from storage.services.differences import differences
from storage.services.known_customers import known_customer
from storage.tables.customers import CustomerRow
from storage.tables.money import PaymentGatewayRow, PaymentMethodRow
from storage.tenancy import Tx


class NoPrimaryGateway(BadRequest):
    code = "NO_PRIMARY_PAYMENT_GATEWAY"

    def __init__(self) -> None:
        super().__init__("No primary payment gateway configured")


class PaymentMethodNotFound(NotFound):
    code = "PAYMENT_METHOD_NOT_FOUND"

    def __init__(self, method_id: str) -> None:
        super().__init__(f"there is no payment method {method_id}")


class PaymentMethods:
    """One tenant's customers' payment methods. A customer with any has exactly one default."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def create(self, sent: Mapping[str, Any]) -> PaymentMethodRow:
        """Keep one at the primary gateway; the customer's first is the default. Raises FieldProblem, CustomerUnknown, NoPrimaryGateway."""
        method = read_payment_method(Fields(sent, ""))
        gateway = self._primary_gateway()
        self._lock_customer(method.customer)
        row = PaymentMethodRow(
            tenant_id=self._tx.tenant_id,
            id=f"pm_{secrets.token_hex(8)}",
            customer_id=method.customer,
            gateway_id=gateway.id,
            gateway_type=gateway.gateway_type,
            method_type=method.method_type,
            gateway_token=method.gateway_token,
            gateway_customer_id=method.gateway_customer_id,
            display_name=method.display_name,
            last_four=method.last_four,
            card_brand=method.card_brand,
            expiry_month=method.expiry_month,
            expiry_year=method.expiry_year,
            is_default=False,
            created_at=self._tx.at,
        )
        is_first = not self.of_customer(method.customer)
        self._tx.session.add(row)
        self._tx.session.flush()
        self._tx.session.refresh(row)
        kept = {
            "customer": method.customer,
            "methodType": method.method_type,
            "lastFour": method.last_four,
        }
        self._tx.record("PAYMENT_METHOD_CREATED", "paymentMethod", row.id, differences({}, kept))
        if is_first or method.set_as_default:
            self._make_default(row)
        return row

    def get(self, method_id: str) -> PaymentMethodRow:
        """Raises PaymentMethodNotFound."""
        row = self._tx.session.get(PaymentMethodRow, (self._tx.tenant_id, method_id))
        if row is None or row.archived_at is not None:
            raise PaymentMethodNotFound(method_id)
        return row

    def of_customer(self, customer_id: str) -> list[PaymentMethodRow]:
        """The customer's, the default first, then the newest. Raises CustomerUnknown."""
        known_customer(self._tx, customer_id)
        query = select(PaymentMethodRow).where(
            PaymentMethodRow.tenant_id == self._tx.tenant_id,
            PaymentMethodRow.customer_id == customer_id,
            PaymentMethodRow.archived_at.is_(None),
        )
        order = (
            PaymentMethodRow.is_default.desc(),
            PaymentMethodRow.created_at.desc(),
            PaymentMethodRow.id,
        )
        return list(self._tx.session.scalars(query.order_by(*order)))

    def make_default(self, method_id: str) -> PaymentMethodRow:
        """Let the customer pay with this one from now on. Raises PaymentMethodNotFound."""
        self._lock_customer(self.get(method_id).customer_id)
        row = self.get(method_id)
        if not row.is_default:
            self._make_default(row)
        return row

    def archive(self, method_id: str) -> None:
        """Remove it; the newest of the others becomes the default in its place. Raises PaymentMethodNotFound."""
        customer_id = self.get(method_id).customer_id
        self._lock_customer(customer_id)
        row = self.get(method_id)
        was_default = row.is_default
        row.is_default, row.active, row.archived_at = False, False, self._tx.at
        self._tx.session.flush()
        self._tx.record("PAYMENT_METHOD_ARCHIVED", "paymentMethod", row.id)
        others = self.of_customer(customer_id)
        if was_default and others:
            self._make_default(others[0])

    def _make_default(self, row: PaymentMethodRow) -> None:
        """The customer is locked."""
        self._tx.session.execute(
            update(PaymentMethodRow)
            .where(
                PaymentMethodRow.tenant_id == self._tx.tenant_id,
                PaymentMethodRow.customer_id == row.customer_id,
                PaymentMethodRow.is_default,
            )
            .values(is_default=False)
        )
        row.is_default = True
        self._tx.session.flush()
        self._tx.record(
            "PAYMENT_METHOD_MADE_DEFAULT", "paymentMethod", row.id, differences({}, {"default": True})
        )

    def _lock_customer(self, customer_id: str) -> None:
        """Only one transaction at a time decides which of a customer's methods is the default."""
        known_customer(self._tx, customer_id)
        where = (CustomerRow.tenant_id == self._tx.tenant_id, CustomerRow.id == customer_id)
        self._tx.session.execute(select(CustomerRow.id).where(*where).with_for_update(key_share=True))
        self._tx.session.expire_all()

    def _primary_gateway(self) -> PaymentGatewayRow:
        query = select(PaymentGatewayRow).where(
            PaymentGatewayRow.tenant_id == self._tx.tenant_id,
            PaymentGatewayRow.archived_at.is_(None),
            PaymentGatewayRow.is_primary,
        )
        gateway = self._tx.session.scalar(query)
        if gateway is None:
            raise NoPrimaryGateway
        return gateway
