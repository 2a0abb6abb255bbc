"""Coupons. Put here: what a coupon is, how it is read, when it applies and what it takes off. Keep out: who redeemed it (storage)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from domain.catalog.fields import FieldProblem, Fields, required, shown
from domain.errors import Conflict
from domain.instant import EPOCH, NotAnInstant, to_micros_since_epoch
from domain.money import EXACT, EXPONENTS, allocate, round_money, unpadded
from domain.period import Schedule

CODE = re.compile(r"[A-Z0-9_-]{1,64}")
PERCENTAGE, FIXED_AMOUNT = "PERCENTAGE", "FIXED_AMOUNT"
ONCE, REPEATING, FOREVER = "ONCE", "REPEATING", "FOREVER"
MOST_REDEMPTIONS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Coupon:
    """A code that takes something off. discount_value: a fraction (0.10 is 10 %) or an amount of `currency`.

    duration_in_months: of REPEATING. max_redemptions: None has no limit. Valid in [valid_from, valid_until), each None: open.
    applies_to: codes of the offerings whose subscriptions may redeem it; empty: all.
    """

    code: str
    name: str
    description: str | None
    discount_type: str
    discount_value: Decimal
    currency: str | None
    duration: str
    duration_in_months: int | None
    max_redemptions: int | None
    max_redemptions_per_customer: int
    valid_from: datetime | None
    valid_until: datetime | None
    applies_to: tuple[str, ...]


class CouponNotValid(Conflict):
    """The coupon cannot be redeemed here and now."""

    code = "COUPON_NOT_VALID"

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"coupon {code}: {why}")


@dataclass(frozen=True, slots=True)
class Discount:
    """What an attached coupon takes off: frozen when it was redeemed, so that later edits change no bill."""

    code: str
    discount_type: str
    value: Decimal
    currency: str | None = None

    def as_text(self) -> str:
        """As it stands in the frozen terms: canonical JSON."""
        value = format(self.value, "f")
        said = {"code": self.code, "type": self.discount_type, "value": value, "currency": self.currency}
        return json.dumps(said, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Discount:
        """What `as_text` wrote."""
        said = json.loads(text)
        return cls(said["code"], said["type"], Decimal(said["value"]), said["currency"])


def read_coupon(fields: Fields) -> Coupon:
    """Raises FieldProblem."""
    kind = fields.choice("discountType", (PERCENTAGE, FIXED_AMOUNT))
    duration = fields.choice("duration", (ONCE, REPEATING, FOREVER))
    currency = _currency(fields, kind)
    coupon = Coupon(
        code=_code(fields),
        name=fields.text("name"),
        description=fields.maybe_text("description"),
        discount_type=kind,
        discount_value=_value(fields, kind, currency),
        currency=currency,
        duration=duration,
        duration_in_months=_months(fields, duration),
        max_redemptions=fields.whole("maxRedemptions", 1, MOST_REDEMPTIONS),
        max_redemptions_per_customer=fields.whole("maxRedemptionsPerCustomer", 1, MOST_REDEMPTIONS) or 1,
        valid_from=_instant(fields, "validFrom"),
        valid_until=_instant(fields, "validUntil"),
        applies_to=tuple(sorted(set(fields.keys("appliesTo")))),
    )
    if coupon.valid_from and coupon.valid_until and coupon.valid_until <= coupon.valid_from:
        raise FieldProblem(
            fields.at("validUntil"), "is not after validFrom; it is the first instant without it"
        )
    fields.done()
    return coupon


def check_redeemable(coupon: Coupon, *, offering: str, currency: str, at: datetime) -> None:
    """Whether a subscription to the offering, billed in the currency, may redeem it. Raises CouponNotValid."""
    if coupon.valid_from is not None and at < coupon.valid_from:
        raise CouponNotValid(coupon.code, f"is valid only from {coupon.valid_from.isoformat()}")
    if coupon.valid_until is not None and at >= coupon.valid_until:
        raise CouponNotValid(coupon.code, f"was valid only until {coupon.valid_until.isoformat()}")
    if coupon.applies_to and offering not in coupon.applies_to:
        right = ", ".join(coupon.applies_to)
        raise CouponNotValid(
            coupon.code, f"does not apply to offering {offering}; it applies to those of {right}"
        )
    if coupon.currency is not None and coupon.currency != currency:
        raise CouponNotValid(
            coupon.code, f"takes off {coupon.currency}, but the subscription is billed in {currency}"
        )


def applies_during(coupon: Coupon, schedule: Schedule, moment: datetime) -> tuple[datetime, datetime | None]:
    """[from, until): the coupon acts on periods that start in it. moment: the redemption, or the later start of the contract.

    ONCE is the period that holds the moment. REPEATING is as many months from the start of that period on; a longer cycle
    is discounted whole if it starts among them. FOREVER has no end.
    """
    period = schedule.at(moment)
    if coupon.duration == ONCE:
        return period.start, period.end
    if coupon.duration == FOREVER or coupon.duration_in_months is None:
        return period.start, None
    monthly = Schedule(schedule.first, "MONTHLY", schedule.anchor_day, schedule.time_zone)
    return period.start, monthly.period(monthly.index_at(period.start) + coupon.duration_in_months).start


def take_off(discount: Discount, subtotal: Decimal, *, exponent: int, rounding: str = "HALF_EVEN") -> Decimal:
    """What a coupon takes off a subtotal: rounded money within [0, subtotal]; nothing off a subtotal below zero."""
    if subtotal <= 0:
        return Decimal(0)
    if discount.discount_type == PERCENTAGE:
        wanted = EXACT.multiply(subtotal, discount.value)
    else:
        wanted = discount.value
    return min(max(round_money(wanted, exponent, rounding), Decimal(0)), subtotal)


def line_discounts(
    amounts: Sequence[Decimal],
    discounts: Sequence[Discount],
    *,
    exponent: int,
    rounding: str = "HALF_EVEN",
) -> list[Decimal]:
    """What the coupons, one after the other, take off each line; amounts in whole minor units.

    Each acts on what those before have left. A line below zero lowers the subtotal and carries no discount. No line is
    discounted by more than its amount, and the shares add up to the coupons' discounts exactly.
    """
    left = list(amounts)
    for discount in discounts:
        taken = take_off(discount, sum(left, Decimal(0)), exponent=exponent, rounding=rounding)
        if taken:
            shares = allocate(taken, [max(amount, Decimal(0)) for amount in left], exponent)
            left = [amount - share for amount, share in zip(left, shares, strict=True)]
    return [amount - rest for amount, rest in zip(amounts, left, strict=True)]


def _code(fields: Fields) -> str:
    code = fields.text("code")
    if not CODE.fullmatch(code):
        right = "capital letters, digits, _ and -, at most 64"
        raise FieldProblem(fields.at("code"), f"{shown(code)} cannot be a coupon code; use {right}")
    return code


def _currency(fields: Fields, kind: str) -> str | None:
    currency = fields.maybe_text("currency")
    if currency is not None and currency not in EXPONENTS:
        raise FieldProblem(
            fields.at("currency"), f"{shown(currency)} is no ISO 4217 code; write one like USD"
        )
    if kind == PERCENTAGE:
        return None
    return required(fields, "currency", currency)


def _value(fields: Fields, kind: str, currency: str | None) -> Decimal:
    value = required(fields, "discountValue", fields.price("discountValue"))
    if not value:
        raise FieldProblem(fields.at("discountValue"), "must be above 0; a coupon takes something off")
    if kind == PERCENTAGE and value > 1:
        raise FieldProblem(fields.at("discountValue"), f"{value} is more than all; write 0.10 for 10 %")
    if currency is not None and value != round_money(value, EXPONENTS[currency]):
        places = EXPONENTS[currency]
        raise FieldProblem(
            fields.at("discountValue"), f"{value} has more decimal places than {currency}, {places}"
        )
    return unpadded(value)


def _months(fields: Fields, duration: str) -> int | None:
    months = fields.whole("durationInMonths", 1, 60)
    if duration == REPEATING:
        return required(fields, "durationInMonths", months)
    if months is not None:
        raise FieldProblem(
            fields.at("durationInMonths"), f"goes with REPEATING only; leave it out of {duration}"
        )
    return None


def _instant(fields: Fields, name: str) -> datetime | None:
    text = fields.maybe_text(name)
    if text is None:
        return None
    try:
        return EPOCH + timedelta(microseconds=to_micros_since_epoch(text))
    except NotAnInstant as error:
        raise FieldProblem(fields.at(name), f"{shown(text)} {error}") from None
