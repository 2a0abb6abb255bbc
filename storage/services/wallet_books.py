"""A wallet's books. Put here: moving its money by whole transactions, what time does to it, and what a dip sets off. Keep out:
who asks for it (wallets.py, wallet_holds.py, wallet_upkeep.py), what invoices take (repositories/wallet_billing.py)."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy.exc import IntegrityError

from domain.errors import Conflict
from domain.money import unpadded
from domain.wallet import BREAKAGE, CASH, FUNDING, GRANTED, InsufficientFunds
from domain.wallet_grants import ACCOUNT_OF, BONUS_UNITS, Fund, burn
from storage.repositories.wallets import Entry, WalletRepository
from storage.services.differences import differences
from storage.tables.money import WalletRow, WalletTransactionRow
from storage.tables.wallet_grants import AlertRow, WalletGrantRow, WalletTopUpRow
from storage.tenancy import Tx

OPENING, TOP_UP, GRANT, DEBIT = "OPENING", "TOP_UP", "GRANT", "DEBIT"
CLOSING, EXPIRY, REVOCATION, SETTLEMENT = "CLOSING", "EXPIRY", "REVOCATION", "SETTLEMENT"
_PAST = {
    OPENING: "FUNDED", TOP_UP: "TOPPED_UP", GRANT: "GRANTED", DEBIT: "DEBITED", CLOSING: "PAID_BACK",
    EXPIRY: "CREDIT_EXPIRED", REVOCATION: "GRANT_REVOKED", SETTLEMENT: "HOLD_SETTLED",
}  # fmt: skip


class KeyUsedOtherwise(Conflict):
    code = "IDEMPOTENCY_CONFLICT"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"idempotencyKey: {key} was used for another movement of money; use a key of its own"
        )


@dataclass(frozen=True, slots=True)
class Movement:
    """What a transaction is. unit: of bonus units, None for money. at: None is now."""

    kind: str
    amount: Decimal
    description: str | None = None
    key: str | None = None
    unit: str | None = None
    at: datetime | None = None


class Books:
    """One wallet whose row this transaction holds locked, or has just made, so that nobody else moves its money meanwhile."""

    def __init__(self, tx: Tx, wallet: WalletRow) -> None:
        self.tx = tx
        self.wallet = wallet
        self.repository = WalletRepository(tx.session, tx.tenant_id)

    @property
    def spendable(self) -> Decimal:
        """Its money less what holds reserve."""
        held = sum((row.held for row in self.grants() if row.kind != BONUS_UNITS), Decimal(0))
        return self.wallet.balance - held

    def grants(self) -> list[WalletGrantRow]:
        """Those with something left, in the order they came in."""
        return self.repository.grants_left(self.wallet.id)

    def take(self, amount: Decimal, unit: str | None = None) -> dict[str, Decimal]:
        """Which grants give the amount. Raises InsufficientFunds unless they hold all of it."""
        funds = self._funds(self.grants())
        parts = burn(funds, amount, unit)
        if sum(parts.values(), Decimal(0)) < amount:
            left = sum(burn(funds, self.wallet.balance, unit).values(), Decimal(0))
            raise InsufficientFunds(self.wallet.id, amount, unpadded(left), self.wallet.currency)
        return parts

    def spend(self, movement: Movement, parts: Mapping[str, Decimal], to: str) -> WalletTransactionRow:
        """Book these parts of grants out of the wallet, to an account outside."""
        kinds = {row.id: row.kind for row in self.repository.grants(parts)}
        entries = [Entry(ACCOUNT_OF[kinds[each]], -amount, each) for each, amount in parts.items()]
        return self.book(movement, [*entries, Entry(to, sum(parts.values(), Decimal(0)))])

    def put_in(self, grant: WalletGrantRow, movement: Movement) -> WalletTransactionRow:
        """Book a grant that takes effect into the wallet."""
        grant.booked_at = self.tx.at
        self.tx.session.add(grant)
        self.tx.session.flush()
        source = FUNDING if grant.kind == CASH else GRANTED
        entries = [Entry(ACCOUNT_OF[grant.kind], grant.amount, grant.id), Entry(source, -grant.amount)]
        return self.book(movement, entries)

    def book(self, movement: Movement, entries: Collection[Entry]) -> WalletTransactionRow:
        """Write a transaction. Raises KeyUsedOtherwise."""
        before = self.wallet.balance
        moved = sum((each.amount for each in entries if each.is_money_here), Decimal(0))
        row = WalletTransactionRow(
            tenant_id=self.tx.tenant_id,
            id=f"wtx_{secrets.token_hex(8)}",
            wallet_id=self.wallet.id,
            kind=movement.kind,
            amount=movement.amount,
            balance_after=before + moved,
            unit=movement.unit,
            description=movement.description,
            idempotency_key=movement.key,
            actor=self.tx.actor.id,
            at=movement.at or self.tx.at,
        )
        try:
            with self.tx.session.begin_nested():
                self.repository.book(row, entries)
        except IntegrityError as error:
            if movement.key is None:
                raise
            raise KeyUsedOtherwise(movement.key) from error
        self.tx.session.refresh(self.wallet, ["balance"])
        changes = differences({"balance": unpadded(before)}, {"balance": unpadded(self.wallet.balance)})
        if movement.unit:
            changes["units"] = {"before": None, "after": f"{movement.amount.normalize():f} {movement.unit}"}
        self.tx.record(
            f"WALLET_{_PAST[movement.kind]}", "wallet", self.wallet.id, changes, movement.description
        )
        self.watch_the_balance()
        return row

    def keep(self) -> int:
        """Do what is due by now: reservations lapse, grants take effect, what has expired is booked as breakage. How much it was."""
        lapsed = self.repository.lapsed_holds(self.wallet.id, self.tx.at)
        for hold in lapsed:
            hold.status, hold.closed_at = "EXPIRED", self.tx.at
            self.let_go(hold.parts)
        starting = self.repository.starting(self.wallet.id, self.tx.at)
        for grant in starting:
            said = Movement(GRANT, grant.amount, grant.description, unit=grant.unit, at=grant.effective_at)
            self.put_in(grant, said)
        expired = [
            row for row in self.repository.expired(self.wallet.id, self.tx.at) if row.remaining > row.held
        ]
        for grant in expired:
            left = grant.remaining - grant.held
            said = Movement(EXPIRY, left, f"Grant {grant.id} expired", unit=grant.unit, at=grant.expires_at)
            self.spend(said, {grant.id: left}, BREAKAGE)
        return len(lapsed) + len(starting) + len(expired)

    def reserve(self, parts: Mapping[str, Decimal]) -> None:
        """Keep these parts of grants for a hold."""
        for row in self.repository.grants(parts):
            row.held += parts[row.id]
        self.tx.session.flush()

    def let_go(self, parts: Mapping[str, str]) -> None:
        """Give back what a hold reserved."""
        for row in self.repository.grants(parts):
            row.held -= Decimal(parts[row.id])
        self.tx.session.flush()

    def _funds(self, rows: Iterable[WalletGrantRow]) -> list[Fund]:
        good_for = self.repository.good_for()
        return [fund(row, good_for(row)) for row in rows]

    def watch_the_balance(self) -> None:
        """A dip below a threshold is answered once: the marks are taken back when the balance recovers."""
        wallet, balance = self.wallet, self.wallet.balance
        at_zero = balance <= 0
        if at_zero and wallet.empty_since is None:
            self.alert("WALLET_EMPTY", "the wallet is empty")
        wallet.empty_since = (wallet.empty_since or self.tx.at) if at_zero else None
        low = wallet.low_balance_threshold is not None and balance < wallet.low_balance_threshold
        if low and wallet.low_since is None:
            self.alert("LOW_BALANCE", f"the balance is below {wallet.low_balance_threshold:f}")
        wallet.low_since = (wallet.low_since or self.tx.at) if low else None
        dip = wallet.auto_topup_enabled and balance < (wallet.auto_topup_threshold or 0)
        if dip and wallet.topup_since is None and not self.repository.top_ups_under_way(wallet.id):
            self._ask_for_a_top_up()
        wallet.topup_since = (wallet.topup_since or self.tx.at) if dip else None
        self.tx.session.flush()

    def _ask_for_a_top_up(self) -> None:
        """The money is collected after this transaction: a provider is no thing to wait for with a wallet locked."""
        asked = WalletTopUpRow(
            tenant_id=self.tx.tenant_id,
            id=f"wtu_{secrets.token_hex(8)}",
            wallet_id=self.wallet.id,
            amount=self.wallet.auto_topup_amount,
            status="REQUESTED",
            created_at=self.tx.at,
            updated_at=self.tx.at,
        )
        self.tx.session.add(asked)
        changes = {"topUp": {"before": None, "after": asked.id}}
        self.tx.record("WALLET_TOP_UP_REQUESTED", "wallet", self.wallet.id, changes)

    def alert(self, kind: str, message: str) -> None:
        """Tell the tenant's people."""
        wallet = self.wallet
        balance = f"{unpadded(wallet.balance):f}"
        self.tx.session.add(
            AlertRow(
                tenant_id=self.tx.tenant_id,
                id=f"alt_{secrets.token_hex(8)}",
                kind=kind,
                customer_id=wallet.customer_id,
                target_type="wallet",
                target_id=wallet.id,
                message=f"customer {wallet.customer_id}, wallet {wallet.id}: {message}; it holds {balance} {wallet.currency}",
                details={"balance": balance, "currency": wallet.currency},
                at=self.tx.at,
            )
        )
        self.tx.record(f"ALERT_{kind}", "wallet", wallet.id, {"balance": {"before": None, "after": balance}})


def fund(row: WalletGrantRow, units: frozenset[str] | None) -> Fund:
    """A grant as the waterfall sees it: what no hold reserves of it."""
    left = row.remaining - row.held
    return Fund(row.id, row.kind, left, row.expires_at, row.priority, row.seq, units)
