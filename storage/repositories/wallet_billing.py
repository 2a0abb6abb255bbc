"""What invoices take from wallets. Put here: what a month's bills may take, frozen, and booking what they took. Keep out: which
grant pays what (transforms.s09_route), other movements (storage.services).

A month may be billed again and again: what its bills took before is counted in when balances are frozen, and a draft's payment
that differs is taken back by a transaction of its own before the new one is booked. Nothing in the ledger is ever changed.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import polars as pl
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.actor import SYSTEM
from domain.errors import PermanentFailure, TransientFailure
from domain.invoice_life import DRAFT, NOT_BY_A_RUN, VOID
from domain.money import EXPONENTS
from domain.period import month_bounds
from domain.wallet import BREAKAGE, USAGE
from domain.wallet_grants import ACCOUNT_OF, BONUS_UNITS, waterfall
from storage.repositories.among import among, among_pairs
from storage.repositories.chosen import chosen_tenants
from storage.repositories.wallets import Entry, WalletRepository
from storage.services.wallet_books import Books, fund
from storage.tables.invoices import InvoiceRow
from storage.tables.money import WalletEntryRow, WalletRow, WalletTransactionRow
from storage.tables.wallet_grants import WalletGrantRow
from storage.tenancy import Tx

INVOICE, TAKEN_BACK, RESTORED = "INVOICE", "INVOICE_TAKEN_BACK", "BREAKAGE_TAKEN_BACK"
Key = tuple[str, str]
"""(tenant_id, invoice_id)"""
Parts = dict[str, Decimal]
"""Grant to amount."""


class WalletMoved(TransientFailure):
    """A wallet was spent from while the month was billed, and now holds less than the bill would take."""

    code = "WALLET_MOVED"

    def __init__(self, wallet: WalletRow, missing: Decimal, invoice_id: str, unit: str | None = None) -> None:
        self.customer = (wallet.tenant_id, wallet.customer_id)
        super().__init__(
            f"wallet {wallet.id} of customer {wallet.customer_id} (tenant {wallet.tenant_id}) was spent from during the run: "
            f"{missing.normalize():f} {unit or wallet.currency} are missing for invoice {invoice_id}; bill the month again"
        )


class PaymentsDiffer(PermanentFailure):
    """What the lines say wallets pay is not what the settlement says."""

    code = "WALLET_PAYMENTS_DIFFER"

    def __init__(self, invoice_id: str, of_lines: Decimal, of_bill: Decimal) -> None:
        super().__init__(
            f"invoice {invoice_id}: its lines take {of_lines:f} from the wallet, its settlement says {of_bill:f}; "
            "run the month again from routed_lines"
        )


def frozen_balances(
    session: Session,
    *,
    month: str,
    tenants: Collection[str] | None = None,
    customers: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of WALLET_BALANCES. A customer whose invoice of the month is issued has what that invoice took, no more and no less."""
    start = month_bounds(month).start
    return [
        row
        for tenant_id in chosen_tenants(session, tenants)
        for row in _balances(session, tenant_id, month, start, customers or None)
    ]


def _balances(
    session: Session, tenant_id: str, month: str, start: datetime, customers: Collection[str] | None
) -> Iterator[dict[str, Any]]:
    repository = WalletRepository(session, tenant_id)
    query = (
        repository.live()
        if customers is None
        else repository.live().where(among(WalletRow.customer_id, customers))
    )
    wallets = {row.id: row for row in session.scalars(query)}
    if not wallets:
        return
    found = select(WalletGrantRow).where(
        WalletGrantRow.tenant_id == tenant_id,
        WalletGrantRow.kind != BONUS_UNITS,
        WalletGrantRow.booked_at.is_not(None),
        (WalletGrantRow.expires_at.is_(None)) | (WalletGrantRow.expires_at >= start),
    )
    rows: dict[str, list[WalletGrantRow]] = defaultdict(list)
    for row in session.scalars(found):
        if row.wallet_id in wallets:
            rows[row.wallet_id].append(row)
    taken, issued = taken_in(session, tenant_id, month)
    lapsed = lapsed_of(
        session, tenant_id, [row.id for mine in rows.values() for row in mine if row.expires_at]
    )
    good_for = repository.good_for()
    for wallet_id, mine in sorted(rows.items()):
        wallet = wallets[wallet_id]
        final = (wallet.customer_id, wallet.currency) in issued
        by_id = {row.id: row for row in mine}
        for place, each in enumerate(waterfall(fund(row, good_for(row)) for row in mine)):
            own = taken.get(each.grant_id, Decimal(0))
            free = own if final else each.available + own + lapsed.get(each.grant_id, Decimal(0))
            available = free.quantize(Decimal(1).scaleb(-EXPONENTS[wallet.currency]), rounding=ROUND_FLOOR)
            if available > 0:
                yield {
                    "month": month, "tenant_id": tenant_id, "customer_id": wallet.customer_id,
                    "currency": wallet.currency, "wallet_id": wallet_id, "grant_id": each.grant_id, "burn_order": place,
                    "kind": each.kind, "available": available, "expires_at": by_id[each.grant_id].expires_at,
                    "units": None if each.units is None else sorted(each.units),
                }  # fmt: skip


def taken_in(session: Session, tenant_id: str, month: str) -> tuple[Parts, set[tuple[str, str]]]:
    """What the month's invoices took of each grant, and the (customer, currency) of those that are issued."""
    query = select(InvoiceRow).where(InvoiceRow.tenant_id == tenant_id, InvoiceRow.month == month)
    invoices = list(session.scalars(query))
    by_run = [row for row in invoices if row.kind not in NOT_BY_A_RUN]
    issued = {(row.customer_id, row.currency) for row in by_run if row.status not in (DRAFT, VOID)}
    total: Parts = defaultdict(Decimal)
    for parts in taken_by(session, [(tenant_id, row.id) for row in invoices]).values():
        for grant, amount in parts.items():
            total[grant] += amount
    return total, issued


def lapsed_of(session: Session, tenant_id: str, grants: Collection[str]) -> Parts:
    """What has been booked as breakage of these grants: usage from before they expired may still be billed."""
    if not grants:
        return {}
    entry, outside = WalletEntryRow, WalletEntryRow.__table__.alias()
    same = (outside.c.tenant_id == entry.tenant_id) & (outside.c.transaction_id == entry.transaction_id)
    query = (
        select(entry.grant_id, -func.sum(entry.amount))
        .join(outside, same)
        .where(
            entry.tenant_id == tenant_id, among(entry.grant_id, list(grants)), outside.c.account == BREAKAGE
        )
        .group_by(entry.grant_id)
    )
    return {grant: amount for grant, amount in session.execute(query).tuples() if amount}


def taken_by(session: Session, invoices: Sequence[Key]) -> dict[Key, Parts]:
    """What invoices have taken of each grant, all in all."""
    entry, moved = WalletEntryRow, WalletTransactionRow
    same = (moved.tenant_id == entry.tenant_id) & (moved.id == entry.transaction_id)
    found: dict[Key, Parts] = defaultdict(dict)
    query = (
        select(moved.tenant_id, moved.invoice_id, entry.grant_id, -func.sum(entry.amount))
        .join(entry, same)
        .where(among_pairs(moved.tenant_id, moved.invoice_id, invoices))
        .where(moved.kind.in_([INVOICE, TAKEN_BACK]), entry.grant_id != "")
        .group_by(moved.tenant_id, moved.invoice_id, entry.grant_id)
    )
    for tenant_id, invoice_id, grant, amount in session.execute(query):
        if amount:
            found[(tenant_id, invoice_id)][grant] = amount
    return found


def payments_of(bills: pl.DataFrame, lines: pl.DataFrame | Sequence[Mapping[str, Any]]) -> dict[Key, Parts]:
    """What each bill takes of each grant, money and bonus units, by its lines. bills: SETTLEMENTS; lines: ROUTED_LINES. Raises PaymentsDiffer."""
    rows = (
        lines.filter(pl.col("wallet_amount") > 0).iter_rows(named=True)
        if isinstance(lines, pl.DataFrame)
        else lines
    )
    found: dict[Key, Parts] = defaultdict(lambda: defaultdict(Decimal))
    for row in rows:
        for part in row.get("wallet_payments") or ():
            found[(row["tenant_id"], row["invoice_id"])][part["grant_id"]] += part["amount"]
    for tenant_id, invoice_id, amount in bills.select("tenant_id", "invoice_id", "wallet_amount").iter_rows():
        of_lines = sum(found.get((tenant_id, invoice_id), {}).values(), Decimal(0))
        if of_lines != amount:
            raise PaymentsDiffer(invoice_id, of_lines, amount)
    for key, grant, units in _units_of(lines):
        found[key][grant] += units
    return {key: dict(parts) for key, parts in found.items()}


def _units_of(lines: pl.DataFrame | Sequence[Mapping[str, Any]]) -> Iterator[tuple[Key, str, Decimal]]:
    """The bonus units that lines on invoices draw of each grant."""
    if isinstance(lines, pl.DataFrame):
        on_bills = pl.col("bonus_draws").is_not_null() & pl.col("invoice_id").is_not_null()
        lines = lines.filter(on_bills).to_dicts()
    for row in lines:
        for part in row.get("bonus_draws") or ():
            yield (row["tenant_id"], row["invoice_id"]), part["grant_id"], part["units"]


def pay(session: Session, wanted: Mapping[Key, Parts]) -> None:
    """Book what drafts take from wallets, in the invoices' transaction. wanted: each draft with its payments, empty for none.

    A draft whose payments are booked already changes nothing; one that takes something else is taken back first. Raises
    WalletMoved.
    """
    before = taken_by(session, list(wanted))
    changed = {
        key: (before.get(key, {}), parts) for key, parts in wanted.items() if before.get(key, {}) != parts
    }
    by_wallet = _wallets_of(session, changed)
    for (tenant_id, wallet_id), invoices in sorted(by_wallet.items()):
        wallet = WalletRepository(session, tenant_id).get(wallet_id, lock=True)
        assert wallet is not None
        now: Any = session.scalar(select(func.now()))
        till = _Till(session, wallet, now)
        for invoice_id in sorted(invoices):
            till.take_back(invoice_id, changed[(tenant_id, invoice_id)][0])
        for invoice_id in sorted(invoices):
            till.take(invoice_id, changed[(tenant_id, invoice_id)][1])
        if till.crosses_a_threshold:
            Books(Tx(session, tenant_id, SYSTEM, now), wallet).watch_the_balance()


def give_back(session: Session, tenant_id: str, invoice_id: str) -> None:
    """Take back what an invoice took, because it is void."""
    pay(session, {(tenant_id, invoice_id): {}})


def gave_units_back(session: Session, tenant_id: str, invoice_id: str) -> bool:
    """Whether bonus units that an invoice once drew are back in their grants."""
    moved = WalletTransactionRow
    query = select(func.count()).where(
        moved.tenant_id == tenant_id, moved.invoice_id == invoice_id, moved.kind == TAKEN_BACK, moved.unit.is_not(None)
    )  # fmt: skip
    return bool(session.scalar(query))


def _wallets_of(session: Session, changed: Mapping[Key, tuple[Parts, Parts]]) -> dict[Key, set[str]]:
    """The wallets that are concerned, each with its invoices."""
    grants = {(key[0], grant) for key, sides in changed.items() for parts in sides for grant in parts}
    home: dict[Key, str] = {}
    for tenant_id in {tenant for tenant, _ in grants}:
        ids = [grant for tenant, grant in grants if tenant == tenant_id]
        query = select(WalletGrantRow.id, WalletGrantRow.wallet_id).where(
            WalletGrantRow.tenant_id == tenant_id, among(WalletGrantRow.id, ids)
        )
        home |= {(tenant_id, grant): wallet for grant, wallet in session.execute(query)}
    found: dict[Key, set[str]] = defaultdict(set)
    for (tenant_id, invoice_id), sides in changed.items():
        for grant in {grant for parts in sides for grant in parts}:
            found[(tenant_id, home[(tenant_id, grant)])].add(invoice_id)
    return found


@dataclass
class _Till:
    """A locked wallet that invoices are paid from."""

    session: Session
    wallet: WalletRow
    at: datetime

    @property
    def crosses_a_threshold(self) -> bool:
        self.session.refresh(self.wallet)
        wallet = self.wallet
        limits = [
            each for each in (wallet.low_balance_threshold, wallet.auto_topup_threshold) if each is not None
        ]
        marked = any((wallet.low_since, wallet.empty_since, wallet.topup_since))
        return marked or wallet.balance <= 0 or any(wallet.balance < each for each in limits)

    def take_back(self, invoice_id: str, parts: Parts) -> None:
        for unit, own in self._by_unit(parts):
            entries = [Entry(self._account(row), own[row.id], row.id) for row in self._rows(own)]
            self._book(TAKEN_BACK, invoice_id, entries, USAGE, unit)

    def take(self, invoice_id: str, parts: Parts) -> None:
        for unit, own in self._by_unit(parts):
            self._take(invoice_id, own, unit)

    def _by_unit(self, parts: Parts) -> list[tuple[str | None, Parts]]:
        """Money (None) and each unit by itself: a transaction is about one thing."""
        if not parts:
            return []
        found: dict[str | None, Parts] = {}
        for row in self._rows(parts):
            found.setdefault(row.unit, {})[row.id] = parts[row.id]
        return sorted(found.items(), key=lambda each: each[0] or "")

    def _take(self, invoice_id: str, parts: Parts, unit: str | None) -> None:
        self._restore(invoice_id, parts, unit)
        given = {row.id: min(parts[row.id], row.remaining - row.held) for row in self._rows(parts)}
        missing = sum(parts.values(), Decimal(0)) - sum(given.values(), Decimal(0))
        if missing and unit is None:
            missing = self._from_others(given, missing)
        if missing:
            raise WalletMoved(self.wallet, missing, invoice_id, unit)
        taken = [row for row in self._rows(given) if given[row.id] > 0]
        entries = [Entry(self._account(row), -given[row.id], row.id) for row in taken]
        self._book(INVOICE, invoice_id, entries, USAGE, unit)

    def _restore(self, invoice_id: str, parts: Parts, unit: str | None) -> None:
        """Grants that paid for usage before they expired: their breakage was booked too high."""
        lapsed = lapsed_of(
            self.session, self.wallet.tenant_id, [row.id for row in self._rows(parts) if row.expires_at]
        )
        lacking = {row.id: parts[row.id] - (row.remaining - row.held) for row in self._rows(parts)}
        back = {each: min(lapsed.get(each, Decimal(0)), amount) for each, amount in lacking.items()}
        entries = [
            Entry(self._account(row), back[row.id], row.id) for row in self._rows(back) if back[row.id] > 0
        ]
        if entries:
            self._book(RESTORED, invoice_id, entries, BREAKAGE, unit)

    def _from_others(self, given: Parts, missing: Decimal) -> Decimal:
        """Some of the money went elsewhere since the balances were frozen: what is unrestricted stands in. What is still missing."""
        repository = WalletRepository(self.session, self.wallet.tenant_id)
        rows = [row for row in repository.grants_left(self.wallet.id) if row.kind != BONUS_UNITS]
        for each in waterfall(fund(row, None) for row in rows if not row.units and not row.products):
            part = min(missing, each.available - given.get(each.grant_id, Decimal(0)))
            if part > 0:
                given[each.grant_id] = given.get(each.grant_id, Decimal(0)) + part
                missing -= part
        return missing

    def _book(self, kind: str, invoice_id: str, entries: list[Entry], outside: str, unit: str | None) -> None:
        total = sum((each.amount for each in entries), Decimal(0))
        money = sum((each.amount for each in entries if each.is_money_here), Decimal(0))
        self.session.refresh(self.wallet, ["balance"])
        row = WalletTransactionRow(
            tenant_id=self.wallet.tenant_id,
            id=f"wtx_{secrets.token_hex(8)}",
            wallet_id=self.wallet.id,
            kind=kind,
            amount=abs(total),
            balance_after=self.wallet.balance + money,
            unit=unit,
            invoice_id=invoice_id,
            description=f"{_SAYS[kind]} {invoice_id}",
            idempotency_key=f"{invoice_id}:{self._step(invoice_id)}",
            actor=SYSTEM.id,
            at=self.at,
        )
        WalletRepository(self.session, self.wallet.tenant_id).book(row, [*entries, Entry(outside, -total)])

    def _step(self, invoice_id: str) -> int:
        """How many movements the invoice has made of this wallet: the key of each is its own, so that none is booked twice."""
        mine = (
            WalletTransactionRow.tenant_id == self.wallet.tenant_id,
            WalletTransactionRow.invoice_id == invoice_id,
        )
        return (
            self.session.scalar(select(func.count()).select_from(WalletTransactionRow).where(*mine)) or 0
        ) + 1

    def _rows(self, parts: Iterable[str]) -> list[WalletGrantRow]:
        return WalletRepository(self.session, self.wallet.tenant_id).grants(parts)

    @staticmethod
    def _account(row: WalletGrantRow) -> str:
        return ACCOUNT_OF[row.kind]


_SAYS = {
    INVOICE: "Pays invoice",
    TAKEN_BACK: "Takes back the payment of invoice",
    RESTORED: "Used before it expired: invoice",
}
