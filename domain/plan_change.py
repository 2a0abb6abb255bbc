"""What a change of offering costs. Put here: credit, charge and the sentence that says so. Keep out: making the change.

Credit: the unused part of the old base fee. Charge: the remaining part of the new one. Both by elapsed time, to the second,
and rounded once each; so they are what the bill of the period later says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from domain.money import currency_exponent, prorate, round_money
from domain.period import Period

UPGRADE, DOWNGRADE, LATERAL = "UPGRADE", "DOWNGRADE", "LATERAL"
IMMEDIATE, PERIOD_END = "IMMEDIATE", "PERIOD_END"
_VERBS = {UPGRADE: "Upgrading", DOWNGRADE: "Downgrading", LATERAL: "Moving"}
_CYCLES = {"MONTHLY": "month", "QUARTERLY": "quarter", "ANNUAL": "year"}


@dataclass(frozen=True, slots=True)
class Side:
    """An offering before or after the change; base_fee: for a whole period, unrounded."""

    name: str
    base_fee: Decimal


@dataclass(frozen=True, slots=True)
class Situation:
    """The subscription at the instant of the change. period: the one that holds it. live_until: when it ends within the
    period, else the period's end. paying: False on trial or paused, when no fee is running."""

    period: Period
    live_until: datetime
    paying: bool
    currency: str
    rounding: str
    cycle: str
    renews_on: date


@dataclass(frozen=True, slots=True)
class Preview:
    """What the change comes to, in the subscription's currency. net = charge − credit; below 0 the customer gets back."""

    change_type: str
    effective_at: datetime
    credit: Decimal
    charge: Decimal
    net: Decimal
    renewal_amount: Decimal
    renewal_date: date
    currency: str
    summary: str

    def minor(self, amount: Decimal) -> int:
        """The amount in minor units (cents)."""
        return int(amount.scaleb(currency_exponent(self.currency)))


def change_type(old: Side, new: Side) -> str:
    """By base fee: UPGRADE if the new one is dearer, DOWNGRADE if it is cheaper, else LATERAL."""
    if new.base_fee == old.base_fee:
        return LATERAL
    return UPGRADE if new.base_fee > old.base_fee else DOWNGRADE


def preview(old: Side, new: Side, now: Situation, *, at: datetime, effective: str) -> Preview:
    """The change made at `at` (within the period) or at the period's end."""
    exponent = currency_exponent(now.currency)
    later = effective == PERIOD_END

    def part(fee: Decimal) -> Decimal:
        left = now.live_until - at
        whole = now.period.end - now.period.start
        exact = Decimal(0) if later or not now.paying else prorate(fee, left, whole)
        return round_money(exact, exponent, now.rounding)

    credit, charge = part(old.base_fee), part(new.base_fee)
    kind = change_type(old, new)
    renewal = round_money(new.base_fee, exponent, now.rounding)
    return Preview(
        change_type=kind,
        effective_at=now.period.end if later else at,
        credit=credit,
        charge=charge,
        net=charge - credit,
        renewal_amount=renewal,
        renewal_date=now.renews_on,
        currency=now.currency,
        summary=_summary(kind, old, new, now, credit, charge, renewal, later=later),
    )


def _summary(
    kind: str,
    old: Side,
    new: Side,
    now: Situation,
    credit: Decimal,
    charge: Decimal,
    renewal: Decimal,
    *,
    later: bool,
) -> str:
    currency = now.currency
    moved = f"{_VERBS[kind]} from {old.name} to {new.name}"
    then = f"from {now.renews_on} each {_CYCLES[now.cycle]} costs {renewal} {currency} plus usage"
    if later:
        return f"{moved} at the end of the period costs nothing today; {then}."
    if not now.paying:
        return f"{moved} now costs nothing today, because no fee is running; {then}."
    net = charge - credit
    outcome = f"{net} {currency} more is due" if net >= 0 else f"{-net} {currency} is given back"
    return (
        f"{moved} now credits {credit} {currency} for the rest of {old.name} and charges {charge} {currency} "
        f"for the rest of {new.name}, so {outcome} for this period; {then}."
    )
