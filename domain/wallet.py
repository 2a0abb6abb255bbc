"""Wallets. Put here: what a wallet promises, its accounts, how orders to it are read. Keep out: balances (storage keeps them).

Money in wallets is kept in double entry: every transaction moves amounts between accounts, and they add up to zero. What
the wallet's own accounts hold is owed to the customer until it is spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from domain.catalog.fields import FieldProblem, Fields, required, shown
from domain.errors import Conflict
from domain.money import EXPONENTS, round_money

CASH, PROMO, UNITS = "CASH", "PROMO", "UNITS"
HELD_IN_WALLET = (CASH, PROMO)
"""Accounts whose sum is the wallet's balance. Promotional money is burned before cash. UNITS holds bonus units, no money."""
FUNDING, GRANTED, USAGE, REFUND, BREAKAGE = "FUNDING", "GRANTED", "USAGE", "REFUND", "BREAKAGE"
"""Where it comes from and goes to: paid in by the customer, given by the tenant; spent on usage, owed back, lapsed unused."""
ACCOUNTS = (*HELD_IN_WALLET, UNITS, FUNDING, GRANTED, USAGE, REFUND, BREAKAGE)
STRATEGIES = ("WATERFALL",)
HOLD_SECONDS, LONGEST_HOLD = 900, 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Topping:
    """When and how a wallet is refilled, and when its owner is warned; amounts of the wallet's currency."""

    auto_topup_enabled: bool
    auto_topup_amount: Decimal | None
    auto_topup_threshold: Decimal | None
    low_balance_threshold: Decimal | None


@dataclass(frozen=True, slots=True)
class NewWallet:
    """A wallet to be opened. currency: None is the customer's own."""

    customer: str
    currency: str | None
    initial_balance: Decimal
    topping: Topping


@dataclass(frozen=True, slots=True)
class Order:
    """Money to be put in or taken out. amount: above 0. idempotency_key: the same one is carried out once."""

    amount: Decimal
    description: str | None
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Debit:
    """Money to be taken out of a customer's wallet. currency: None is the customer's own. unit: what it is spent on; None: grants
    that are good for some units only are left alone."""

    order: Order
    customer: str
    currency: str | None
    strategy: str
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Money to be reserved. seconds: how long, unless it is settled or released before."""

    debit: Debit
    seconds: int


class InsufficientFunds(Conflict):
    """The wallet holds less than what is to be taken out; nothing was."""

    code = "INSUFFICIENT_FUNDS"

    def __init__(self, wallet_id: str, asked: Decimal, balance: Decimal, currency: str) -> None:
        super().__init__(
            f"wallet {wallet_id} holds {balance:f} {currency}, less than {asked:f}; top it up or take out less"
        )


def read_wallet(fields: Fields) -> NewWallet:
    """Raises FieldProblem."""
    wallet = NewWallet(
        customer=fields.key("customerId", "customer"),
        currency=_currency(fields),
        initial_balance=fields.price("initialBalance") or Decimal(0),
        topping=_topping(fields),
    )
    fields.done()
    return wallet


def read_topping(fields: Fields) -> Topping:
    """The part of a wallet that may be edited. Raises FieldProblem."""
    topping = _topping(fields)
    fields.done()
    return topping


def read_top_up(fields: Fields) -> Order:
    """Raises FieldProblem."""
    order = _order(fields)
    fields.done()
    return order


def read_debit(fields: Fields) -> Debit:
    """Raises FieldProblem."""
    debit = _debit(fields)
    fields.done()
    return debit


def read_hold(fields: Fields) -> Hold:
    """Raises FieldProblem."""
    seconds = fields.whole(fields.raw("ttlSeconds", "ttl_seconds", "hold_ttl_seconds")[0], 1, LONGEST_HOLD)
    hold = Hold(_debit(fields), HOLD_SECONDS if seconds is None else seconds)
    fields.done()
    return hold


def _debit(fields: Fields) -> Debit:
    return Debit(
        order=_order(fields),
        customer=fields.key("customerId", "customer_id"),
        currency=_currency(fields),
        strategy=fields.choice("strategy", STRATEGIES, STRATEGIES[0]),
        unit=fields.maybe_text("unit", "metricName", "metric_name"),
    )


def check_minor_units(path: str, amount: Decimal, currency: str) -> None:
    """Customers pay in whole minor units. Raises FieldProblem."""
    if amount != round_money(amount, EXPONENTS[currency]):
        raise FieldProblem(path, f"{amount:f} has more decimal places than {currency}, {EXPONENTS[currency]}")


def _order(fields: Fields) -> Order:
    amount = required(fields, "amount", fields.price("amount"))
    if not amount:
        raise FieldProblem(fields.at("amount"), "must be above 0")
    return Order(
        amount,
        fields.maybe_text("description"),
        fields.maybe_text("idempotencyKey", "idempotency_key"),
    )


def _topping(fields: Fields) -> Topping:
    topping = Topping(
        auto_topup_enabled=fields.flag("autoTopupEnabled"),
        auto_topup_amount=fields.price("autoTopupAmount"),
        auto_topup_threshold=fields.price("autoTopupThreshold"),
        low_balance_threshold=fields.price("lowBalanceThreshold"),
    )
    if topping.auto_topup_enabled:
        amount = required(fields, "autoTopupAmount", topping.auto_topup_amount)
        required(fields, "autoTopupThreshold", topping.auto_topup_threshold)
        if not amount:
            raise FieldProblem(fields.at("autoTopupAmount"), "must be above 0 to top anything up")
    return topping


def _currency(fields: Fields) -> str | None:
    currency = fields.maybe_text("currency")
    if currency is not None and currency not in EXPONENTS:
        raise FieldProblem(
            fields.at("currency"), f"{shown(currency)} is no ISO 4217 code; write one like USD"
        )
    return currency
