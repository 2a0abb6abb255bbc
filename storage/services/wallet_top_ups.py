"""Automatic refills of wallets. Put here: collecting what was asked for, and booking what came. Keep out: when one is asked for
(wallet_books.py), payment providers (providers/)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, select

from domain.actor import SYSTEM
from domain.collection import FAILED, PENDING, SUCCEEDED, Charge, Collect
from domain.errors import Conflict, NotFound, TransientFailure
from domain.wallet import Order
from storage.repositories.paging import PageQuery, keyset
from storage.services.wallet_books import TOP_UP
from storage.services.wallets import Wallets
from storage.tables.wallet_grants import WalletTopUpRow
from storage.tenancy import Tx, tenant_tx


class TopUpNotFound(NotFound):
    code = "TOP_UP_NOT_FOUND"

    def __init__(self, top_up_id: str) -> None:
        super().__init__(f"there is no top-up {top_up_id} of this wallet")


class TopUpIsOver(Conflict):
    code = "TOP_UP_OVER"

    def __init__(self, top_up_id: str, status: str) -> None:
        super().__init__(f"top-up {top_up_id} is {status}; only requested and pending ones can be confirmed")


class TopUps:
    """One tenant's refills."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._wallets = Wallets(tx)

    def page(self, wallet_id: str, page: PageQuery) -> tuple[list[WalletTopUpRow], int, str | None]:
        """A page of the wallet's refills, the newest first. Raises WalletNotFound, FieldProblem."""
        self._wallets.get(wallet_id)
        mine = WalletTopUpRow.tenant_id == self._tx.tenant_id, WalletTopUpRow.wallet_id == wallet_id
        columns = {"-createdAt": WalletTopUpRow.created_at, "id": WalletTopUpRow.id}
        return keyset(self._tx.session, select(WalletTopUpRow).where(*mine), columns, page)

    def confirm(self, wallet_id: str, top_up_id: str) -> WalletTopUpRow:
        """The money has come: put it in, once. Raises WalletNotFound, TopUpNotFound, TopUpIsOver."""
        books = self._wallets.locked(wallet_id)
        row = self._locked(top_up_id, wallet_id)
        if row.status == FAILED:
            raise TopUpIsOver(row.id, row.status)
        if row.status != SUCCEEDED:
            row.status, row.updated_at = SUCCEEDED, self._tx.at
            self._tx.session.flush()
            order = Order(row.amount, "Automatic top-up", f"top-up:{row.id}")
            self._wallets.cash(books.wallet, TOP_UP, order)
            # The dip is answered; should the refill not have been enough, the next movement asks again.
            books.wallet.topup_since = None
        return row

    def asked(self, top_up_id: str) -> Charge:
        """What a provider is to take for a refill. Raises TopUpNotFound."""
        row = self._found(top_up_id)
        wallet = self._wallets.get(row.wallet_id)
        what = f"Top-up of wallet {wallet.id}"
        return Charge(row.id, self._tx.tenant_id, wallet.customer_id, row.amount, wallet.currency, what)

    def answered(self, top_up_id: str, status: str, reference: str | None, reason: str | None) -> None:
        """What the provider said. Repeating it changes nothing."""
        books = self._wallets.locked(self._found(top_up_id).wallet_id)
        row = self._locked(top_up_id)
        wallet_id, before = row.wallet_id, row.status
        if before not in ("REQUESTED", PENDING):
            return
        row.reference, row.error, row.updated_at = reference, reason, self._tx.at
        if status == SUCCEEDED:
            self.confirm(wallet_id, top_up_id)
            return
        row.status = status
        if status == FAILED:
            books.alert("TOP_UP_FAILED", f"the automatic top-up failed: {reason}")
        elif before != PENDING:
            books.alert(
                "TOP_UP_PENDING", "the automatic top-up waits for the money; confirm it when it has come"
            )

    def _found(self, top_up_id: str) -> WalletTopUpRow:
        row = self._tx.session.get(WalletTopUpRow, (self._tx.tenant_id, top_up_id))
        if row is None:
            raise TopUpNotFound(top_up_id)
        return row

    def _locked(self, top_up_id: str, wallet_id: str | None = None) -> WalletTopUpRow:
        key = (self._tx.tenant_id, top_up_id)
        row = self._tx.session.get(WalletTopUpRow, key, with_for_update=True, populate_existing=True)
        if row is None or wallet_id not in (None, row.wallet_id):
            raise TopUpNotFound(top_up_id)
        return row


def collect_top_up(
    engine: Engine, tenant_id: str, top_up_id: str, collect: Collect, at: datetime
) -> str | None:
    """Ask a provider for a refill and book what it says. The provider is asked with no lock held; asked again after a crash, it
    takes the money once. What could not be done now, or None."""
    with tenant_tx(engine, tenant_id, SYSTEM, at=at) as asking:
        charge = TopUps(asking).asked(top_up_id)
    try:
        outcome = collect(charge)
    except TransientFailure as error:
        return str(error)
    with tenant_tx(engine, tenant_id, SYSTEM, at=at) as booking:
        TopUps(booking).answered(top_up_id, outcome.status, outcome.reference, outcome.reason)
    return None
