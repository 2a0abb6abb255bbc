"""Payment gateways. Put here: adding, editing, archiving them, and which one is the primary. Keep out: taking payments, HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Select, func, select, text, update

from domain.catalog.fields import FieldProblem, Fields
from domain.errors import Conflict, NotFound
from domain.payment import PaymentGateway, read_gateway
from storage.database import lock_id
from storage.repositories.paging import PageQuery, keyset
from storage.sealed import Seal
from storage.services.differences import differences, no_expectation
from storage.tables.money import PaymentGatewayRow, PaymentMethodRow
from storage.tenancy import Tx

_API_KEY, _WEBHOOK_SECRET = "payment_gateways.api_key", "payment_gateways.webhook_secret"


class GatewayNotFound(NotFound):
    code = "PAYMENT_GATEWAY_NOT_FOUND"

    def __init__(self, gateway_id: str) -> None:
        super().__init__(f"there is no payment gateway {gateway_id}")


class GatewayInUse(Conflict):
    code = "PAYMENT_GATEWAY_IN_USE"

    def __init__(self, gateway_id: str, methods: int) -> None:
        super().__init__(
            f"payment gateway {gateway_id} keeps {methods} payment methods; remove them first, or set active to false"
        )


class PaymentGateways:
    """One tenant's gateways. seal: keeps their secrets; nothing here gives one back but `api_key`."""

    def __init__(self, tx: Tx, seal: Seal) -> None:
        self._tx = tx
        self._seal = seal

    def create(self, sent: Mapping[str, Any]) -> PaymentGatewayRow:
        """Add one; the first becomes the primary unless told otherwise. Raises FieldProblem."""
        gateway = read_gateway(Fields(sent, ""))
        present = self._lock_primary()
        row = PaymentGatewayRow(
            tenant_id=self._tx.tenant_id,
            id=f"gw_{secrets.token_hex(8)}",
            gateway_type=gateway.gateway_type,
            is_primary=False,
            created_at=self._tx.at,
            updated_at=self._tx.at,
        )
        self._fill(row, gateway)
        self._tx.session.add(row)
        self._tx.session.flush()
        self._tx.session.refresh(row)
        self._tx.record("PAYMENT_GATEWAY_CREATED", "paymentGateway", row.id, differences({}, _recorded(row)))
        if gateway.primary or (gateway.primary is None and present is None and gateway.active):
            self._make_primary(row)
        return row

    def get(self, gateway_id: str) -> PaymentGatewayRow:
        """Raises GatewayNotFound."""
        row = self._tx.session.scalar(self.live().where(PaymentGatewayRow.id == gateway_id))
        if row is None:
            raise GatewayNotFound(gateway_id)
        return row

    def page(self, page: PageQuery) -> tuple[list[PaymentGatewayRow], int, str | None]:
        """Rows, how many there are, and the next page's cursor. Raises FieldProblem."""
        columns = {
            "-createdAt": PaymentGatewayRow.created_at,
            "displayName": PaymentGatewayRow.display_name,
            "id": PaymentGatewayRow.id,
        }
        return keyset(self._tx.session, self.live(), columns, page)

    def live(self) -> Select[tuple[PaymentGatewayRow]]:
        """All that are not archived, to be narrowed down."""
        return select(PaymentGatewayRow).where(
            PaymentGatewayRow.tenant_id == self._tx.tenant_id, PaymentGatewayRow.archived_at.is_(None)
        )

    def primary(self) -> PaymentGatewayRow | None:
        """The gateway that payments go through."""
        return self._tx.session.scalar(self.live().where(PaymentGatewayRow.is_primary))

    def edit(
        self, gateway_id: str, sent: Mapping[str, Any], expect: Callable[[str, int], None] = no_expectation
    ) -> PaymentGatewayRow:
        """Change the fields sent; a secret sent replaces the one before. Raises GatewayNotFound, StaleEdit, FieldProblem."""
        self._lock_primary()
        row = self.get(gateway_id)
        expect(f"payment gateway {gateway_id}", row.revision)
        gateway = read_gateway(Fields({**self._as_sent(row), **sent}, ""))
        if gateway.gateway_type != row.gateway_type:
            raise FieldProblem("gatewayType", f"stays {row.gateway_type}; add another gateway instead")
        if row.is_primary and (sent.get("primary") is False or not gateway.active):
            name = "active" if not gateway.active else "primary"
            raise FieldProblem(
                name, "the primary gateway stays active and primary until another is made primary"
            )
        before = _recorded(row)
        self._fill(row, gateway)
        changes = differences(before, _recorded(row))
        replaced = [name for name in ("apiKey", "webhookSecret") if name in sent]
        if changes or replaced:
            row.revision += 1
            row.updated_at = self._tx.at
            told = {name: {"before": "…", "after": "replaced"} for name in replaced}
            self._tx.record("PAYMENT_GATEWAY_UPDATED", "paymentGateway", row.id, {**changes, **told})
        if gateway.primary and not row.is_primary:
            self._make_primary(row)
        return row

    def make_primary(self, gateway_id: str) -> PaymentGatewayRow:
        """Let payments go through this one from now on, and no longer through the present one. Raises GatewayNotFound."""
        self._lock_primary()
        row = self.get(gateway_id)
        if not row.is_primary:
            self._make_primary(row)
        return row

    def archive(self, gateway_id: str, expect: Callable[[str, int], None] = no_expectation) -> None:
        """Raises GatewayNotFound, StaleEdit, GatewayInUse."""
        self._lock_primary()
        row = self.get(gateway_id)
        expect(f"payment gateway {gateway_id}", row.revision)
        methods = self._tx.session.execute(
            select(func.count())
            .select_from(PaymentMethodRow)
            .where(
                PaymentMethodRow.tenant_id == self._tx.tenant_id,
                PaymentMethodRow.gateway_id == gateway_id,
                PaymentMethodRow.archived_at.is_(None),
            )
        ).scalar_one()
        if methods:
            raise GatewayInUse(gateway_id, methods)
        row.archived_at = row.updated_at = self._tx.at
        row.is_primary, row.api_key_sealed, row.webhook_secret_sealed = False, None, None
        row.revision += 1
        self._tx.record("PAYMENT_GATEWAY_ARCHIVED", "paymentGateway", row.id)

    def api_key(self, row: PaymentGatewayRow) -> str | None:
        """The key, for calling the gateway; never for an answer. Raises CannotOpen."""
        if row.api_key_sealed is None:
            return None
        return self._seal.open(row.api_key_sealed, tenant_id=self._tx.tenant_id, column=_API_KEY)

    def _make_primary(self, row: PaymentGatewayRow) -> None:
        if not row.active:
            raise FieldProblem("primary", "a gateway that is not active cannot be the primary one")
        self._tx.session.execute(
            update(PaymentGatewayRow)
            .where(PaymentGatewayRow.tenant_id == self._tx.tenant_id, PaymentGatewayRow.is_primary)
            .values(is_primary=False, revision=PaymentGatewayRow.revision + 1, updated_at=self._tx.at)
        )
        row.is_primary, row.updated_at, row.revision = True, self._tx.at, row.revision + 1
        self._tx.session.flush()
        self._tx.record(
            "PAYMENT_GATEWAY_MADE_PRIMARY", "paymentGateway", row.id, differences({}, {"primary": True})
        )

    def _lock_primary(self) -> PaymentGatewayRow | None:
        """Only one transaction at a time decides which gateway of the tenant is the primary."""
        name = f"aforo:primary-gateway:{self._tx.tenant_id}"
        self._tx.session.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": lock_id(name)})
        return self.primary()

    def _fill(self, row: PaymentGatewayRow, gateway: PaymentGateway) -> None:
        row.display_name, row.public_key = gateway.display_name, gateway.public_key
        row.active, row.sandbox_mode = gateway.active, gateway.sandbox_mode
        row.supported_currencies = list(gateway.supported_currencies)
        row.api_key_sealed = self._sealed(gateway.api_key, _API_KEY)
        row.webhook_secret_sealed = self._sealed(gateway.webhook_secret, _WEBHOOK_SECRET)

    def _sealed(self, secret: str | None, column: str) -> str | None:
        if secret is None:
            return None
        return self._seal.seal(secret, tenant_id=self._tx.tenant_id, column=column)

    def _as_sent(self, row: PaymentGatewayRow) -> dict[str, Any]:
        """The gateway as a body that `read_gateway` reads back to the same; the secrets are opened for it."""
        webhook = row.webhook_secret_sealed
        return {
            "gatewayType": row.gateway_type,
            "displayName": row.display_name,
            "apiKey": self.api_key(row),
            "webhookSecret": webhook
            and self._seal.open(webhook, tenant_id=self._tx.tenant_id, column=_WEBHOOK_SECRET),
            "publicKey": row.public_key,
            "active": row.active,
            "sandboxMode": row.sandbox_mode,
            "supportedCurrencies": row.supported_currencies,
        }


def _recorded(row: PaymentGatewayRow) -> dict[str, Any]:
    """What the audit log may know: everything but secrets."""
    return {
        "gatewayType": row.gateway_type,
        "displayName": row.display_name,
        "publicKey": row.public_key,
        "active": row.active,
        "sandboxMode": row.sandbox_mode,
        "supportedCurrencies": list(row.supported_currencies),
    }
