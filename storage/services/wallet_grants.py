"""Grants of a wallet. Put here: giving, listing and revoking them, and what a wallet comes to as a whole. Keep out: burning and
expiry (wallet_books.py), HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select

from domain.catalog.fields import FieldProblem, Fields
from domain.errors import Conflict, NotFound
from domain.wallet import BREAKAGE, CASH, GRANTED, REFUND, check_minor_units
from domain.wallet_grants import ACCOUNT_OF, BONUS_UNITS, KINDS, NewGrant, check_span, read_grant
from storage.repositories.paging import PageQuery, keyset
from storage.repositories.wallets import WalletRepository
from storage.services.wallet_books import GRANT, REVOCATION, KeyUsedOtherwise, Movement
from storage.services.wallets import Wallets
from storage.tables.catalog import ProductRow, UnitRow
from storage.tables.money import WalletEntryRow, WalletRow, WalletTransactionRow
from storage.tables.wallet_grants import WalletGrantRow
from storage.tenancy import Tx


class GrantNotFound(NotFound):
    code = "WALLET_GRANT_NOT_FOUND"

    def __init__(self, grant_id: str) -> None:
        super().__init__(f"there is no grant {grant_id} in this wallet")


class GrantReserved(Conflict):
    code = "WALLET_GRANT_RESERVED"

    def __init__(self, grant_id: str, held: Decimal) -> None:
        super().__init__(
            f"holds reserve {held.normalize():f} of grant {grant_id}; settle or release them first"
        )


class Grants:
    """What is put into one tenant's wallets, and for how long."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._wallets = Wallets(tx)
        self._repository = WalletRepository(tx.session, tx.tenant_id)

    def create(self, wallet_id: str, sent: Mapping[str, Any]) -> WalletGrantRow:
        """Give something; it comes into the wallet when it takes effect. The same idempotency key gives once.

        Raises WalletNotFound, FieldProblem, KeyUsedOtherwise.
        """
        asked = read_grant(Fields(sent, ""))
        books = self._wallets.locked(wallet_id)
        effective_at = asked.effective_at or self._tx.at
        self._check(asked, books.wallet)
        check_span("expiresAt", effective_at, asked.expires_at)
        if asked.idempotency_key is not None:
            made = self._repository.grant_made(wallet_id, asked.idempotency_key)
            if made is not None and (made.kind, made.amount, made.unit) != (
                asked.kind,
                asked.amount,
                asked.unit,
            ):
                raise KeyUsedOtherwise(asked.idempotency_key)
            if made is not None:
                return made
        row = self._row(wallet_id, asked)
        row.effective_at = effective_at
        if effective_at <= self._tx.at:
            books.put_in(row, Movement(GRANT, asked.amount, asked.description, unit=asked.unit))
            books.keep()
        else:
            self._tx.session.add(row)
            after = {
                "id": row.id,
                "type": row.kind,
                "amount": f"{asked.amount:f}",
                "effectiveAt": effective_at.isoformat(),
            }
            self._tx.record(
                "WALLET_GRANT_SCHEDULED", "wallet", wallet_id, {"grant": {"before": None, "after": after}}
            )
        self._tx.session.flush()
        self._tx.session.refresh(row)
        return row

    def get(self, wallet_id: str, grant_id: str) -> WalletGrantRow:
        """Raises WalletNotFound, GrantNotFound."""
        self._wallets.get(wallet_id)
        found = self._tx.session.scalar(
            self._repository.of_wallet(wallet_id).where(WalletGrantRow.id == grant_id)
        )
        if found is None:
            raise GrantNotFound(grant_id)
        return found

    def page(self, wallet_id: str, page: PageQuery) -> tuple[list[WalletGrantRow], int, str | None]:
        """A page of the wallet's grants, the newest first. Raises WalletNotFound, FieldProblem."""
        self._wallets.get(wallet_id)
        columns = {"-seq": WalletGrantRow.seq, "id": WalletGrantRow.id}
        return keyset(self._tx.session, self._repository.of_wallet(wallet_id), columns, page)

    def revoke(self, wallet_id: str, grant_id: str, reason: str | None = None) -> WalletGrantRow:
        """Take back what is left of a grant; cash is then owed back. Repeating it changes nothing.

        Raises WalletNotFound, GrantNotFound, GrantReserved.
        """
        books = self._wallets.locked(wallet_id)
        row = self.get(wallet_id, grant_id)
        if row.revoked_at is not None:
            return row
        if row.held:
            raise GrantReserved(row.id, row.held)
        row.revoked_at = self._tx.at
        if row.remaining:
            said = Movement(REVOCATION, row.remaining, reason or f"Grant {row.id} revoked", unit=row.unit)
            books.spend(said, {row.id: row.remaining}, REFUND if row.kind == CASH else GRANTED)
        else:
            self._tx.record(
                "WALLET_GRANT_REVOKED",
                "wallet",
                wallet_id,
                {"grant": {"before": row.id, "after": None}},
                reason,
            )
        self._tx.session.flush()
        self._tx.session.refresh(row)
        return row

    def summary(self, wallet_id: str) -> dict[str, Any]:
        """What came in, was spent, has lapsed and is left: money by kind of grant, units by unit. Raises WalletNotFound."""
        wallet = self._wallets.get(wallet_id)
        rows = list(self._tx.session.scalars(self._repository.of_wallet(wallet_id)))
        held = self._wallets.held(wallet_id)
        money = {kind: self._sums(rows, kind) for kind in KINDS if kind != BONUS_UNITS}
        granted = sum((each["granted"] for each in money.values()), Decimal(0))
        spent = sum((each["burned"] for each in money.values()), Decimal(0))
        units = sorted({row.unit for row in rows if row.unit is not None})
        return {
            "wallet": wallet,
            "held": held,
            "available": wallet.balance - held,
            "liability": money[CASH]["remaining"],
            "utilization": spent / granted if granted else None,
            "waterfall": money,
            "units": {unit: self._sums(rows, BONUS_UNITS, unit) for unit in units},
        }

    def _sums(self, rows: list[WalletGrantRow], kind: str, unit: str | None = None) -> dict[str, Decimal]:
        mine = [row for row in rows if row.kind == kind and row.unit == unit and row.booked_at is not None]
        granted = sum((row.amount for row in mine), Decimal(0))
        remaining = sum((row.remaining for row in mine), Decimal(0))
        outside = self._moved_to([row.id for row in mine], kind)
        lapsed, back = (
            outside.get(BREAKAGE, Decimal(0)),
            outside.get(REFUND, Decimal(0)) + outside.get(GRANTED, Decimal(0)),
        )
        return {
            "granted": granted, "burned": granted - remaining - lapsed - back, "breakage": lapsed, "revoked": back,
            "remaining": remaining,
        }  # fmt: skip

    def _moved_to(self, grants: list[str], kind: str) -> dict[str, Decimal]:
        """What left these grants for accounts other than usage; such transactions are about one grant each."""
        entry, outside = WalletEntryRow, WalletEntryRow.__table__.alias()
        moved = (
            select(outside.c.account, func.sum(-entry.amount))
            .join(
                outside,
                (outside.c.tenant_id == entry.tenant_id) & (outside.c.transaction_id == entry.transaction_id),
            )
            .join(
                WalletTransactionRow,
                (WalletTransactionRow.tenant_id == entry.tenant_id)
                & (WalletTransactionRow.id == entry.transaction_id),
            )
            .where(
                entry.tenant_id == self._tx.tenant_id,
                entry.grant_id.in_(grants),
                entry.account == ACCOUNT_OF[kind],
                outside.c.grant_id == "",
                outside.c.account.in_([BREAKAGE, REFUND, GRANTED]),
                WalletTransactionRow.kind != GRANT,
            )
            .group_by(outside.c.account)
        )
        return dict(self._tx.session.execute(moved).tuples().all())

    def _check(self, asked: NewGrant, wallet: WalletRow) -> None:
        if asked.kind != BONUS_UNITS:
            check_minor_units("amount", asked.amount, wallet.currency)
        named = [("unit", asked.unit)] if asked.unit else []
        named += [(f"units[{place}]", unit) for place, unit in enumerate(asked.units)]
        for path, unit in named:
            if self._tx.session.get(UnitRow, (self._tx.tenant_id, unit)) is None:
                raise FieldProblem(path, f"there is no unit {unit!r}")
        for place, product in enumerate(asked.products):
            if self._tx.session.get(ProductRow, (self._tx.tenant_id, product)) is None:
                raise FieldProblem(f"products[{place}]", f"there is no product {product!r}")

    def _row(self, wallet_id: str, asked: NewGrant) -> WalletGrantRow:
        return WalletGrantRow(
            tenant_id=self._tx.tenant_id,
            id=f"gr_{secrets.token_hex(8)}",
            wallet_id=wallet_id,
            kind=asked.kind,
            unit=asked.unit,
            amount=asked.amount,
            priority=asked.priority,
            units=list(asked.units),
            products=list(asked.products),
            description=asked.description,
            idempotency_key=asked.idempotency_key,
            expires_at=asked.expires_at,
            created_at=self._tx.at,
        )
