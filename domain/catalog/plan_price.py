"""What a plan makes of given usage. Put here: one period's lines by the reference arithmetic of domain.pricing, rounded once
each. Keep out: events, proration, tax: this is a calculator, invoices come from the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from domain.catalog.plans import RatePlan, UnitPrice
from domain.commitment import MONTHLY, Committed
from domain.money import EXACT, currency_exponent, round_money
from domain.pricing import flat_rate, graduated, included_quota, per_unit, percentage, volume_tiered
from domain.pricing.floor import at_least
from domain.pricing.tiers import Tier, TierCharge

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A line as the invoice would have it. unit None: a fee. uncharged: usage beyond the limit, which costs nothing."""

    unit: str | None
    description: str
    model: str
    quantity: Decimal | None
    included: Decimal
    billable: Decimal | None
    uncharged: Decimal
    unrounded: Decimal
    amount: Decimal
    tiers: tuple[TierCharge, ...] = ()


@dataclass(frozen=True, slots=True)
class PricedPlan:
    """adjustment: what minimum or maximum spend and a commitment add or take. total = sum of lines + adjustment."""

    currency: str
    lines: tuple[PricedLine, ...]
    adjustment: Decimal
    total: Decimal


def price_plan(plan: RatePlan, used: Mapping[str, Sequence[Decimal]]) -> PricedPlan:
    """A full period of the plan, the first of its commitment. used: by unit key, the events' quantities (one number: the period's value).

    Units nobody used are priced too, at no usage. Rollover, prices by dimension and setup fees are left out.
    """
    exponent = currency_exponent(plan.currency)
    lines = [_fee(plan, exponent)] if plan.base_fee is not None else []
    lines += [_line(price, used.get(price.unit, ()), exponent) for price in plan.prices]
    with localcontext(EXACT):
        subtotal = sum((line.amount for line in lines), _ZERO)
    adjustment = spend_adjustment(subtotal, plan.minimum_spend, plan.maximum_spend, exponent)
    with localcontext(EXACT):
        adjustment += _committed(plan, lines, adjustment, exponent)
    return PricedPlan(plan.currency, tuple(lines), adjustment, subtotal + adjustment)


def _committed(plan: RatePlan, lines: Sequence[PricedLine], adjustment: Decimal, exponent: int) -> Decimal:
    """What the plan's commitment adds or takes in the first month of its term."""
    agreed = plan.commitment
    if agreed is None:
        return _ZERO
    ends = agreed.type == MONTHLY or agreed.term_months == 1
    stands = Committed(agreed.type, agreed.amount, agreed.overage_factor, agreed.true_up, ends=ends)
    usage = sum((line.amount for line in lines if line.unit is not None), _ZERO)
    charged = sum((line.amount for line in lines), _ZERO) + adjustment
    return sum(stands.amounts(charged, usage, exponent=exponent, rounding="HALF_EVEN").values(), _ZERO)


def spend_adjustment(
    subtotal: Decimal, least: Decimal | None, most: Decimal | None, exponent: int, rounding: str = "HALF_EVEN"
) -> Decimal:
    """What must be added to reach the least, or (negative) taken off to stay at the most; each rounded once."""
    if least is not None and subtotal < (floor := round_money(least, exponent, rounding)):
        return floor - subtotal
    if most is not None and subtotal > (ceiling := round_money(most, exponent, rounding)):
        return ceiling - subtotal
    return _ZERO


def charge_of(price: UnitPrice, billable: Decimal | None, events: Sequence[Decimal] = ()) -> Decimal:
    """What `billable` units come to by the price's model, with its floor; unrounded. events: for charges of each event."""
    tiers = [Tier(tier.up_to, tier.unit_price, tier.flat_fee) for tier in price.tiers]
    rate = price.rate or _ZERO
    if price.model == "FLAT_RATE":
        return flat_rate.charge(billable, flat_amount=price.flat_amount or _ZERO)
    if price.model == "PERCENTAGE":
        return _percentage(price, billable, events)
    if price.model == "GRADUATED":
        own = graduated.charge(billable, tiers=tiers)
    elif price.model == "VOLUME_TIERED":
        own = volume_tiered.charge(billable, tiers=tiers)
    elif price.model == "INCLUDED_QUOTA":
        own = included_quota.charge(
            billable, rate=rate, block_size=price.block_size, block_rate_basis=price.block_rate_basis
        )
    else:
        own = per_unit.charge(billable, rate=rate)
    return at_least(own, price.min_fee)


def _percentage(price: UnitPrice, billable: Decimal | None, events: Sequence[Decimal]) -> Decimal:
    rate = price.rate or _ZERO
    terms = {"fee": price.per_event_fee, "least": price.per_event_min, "greatest": price.per_event_max}
    if all(term is None for term in terms.values()):
        return percentage.charge(billable, rate=rate, min_fee=price.min_fee)
    own = [percentage.event_charge(event, rate=rate, **terms) for event in events]
    return percentage.charge_by_event(own, min_fee=price.min_fee)


def _line(price: UnitPrice, events: Sequence[Decimal], exponent: int) -> PricedLine:
    with localcontext(EXACT):
        quantity = sum(events, _ZERO)
        counted = quantity if price.cap is None else min(quantity, price.cap)
        included = min(counted, price.included_free)
        billable = counted - included
        unrounded = charge_of(price, billable, events)
    return PricedLine(
        unit=price.unit,
        description=price.unit,
        model=price.model,
        quantity=quantity,
        included=included,
        billable=billable,
        uncharged=quantity - counted,
        unrounded=unrounded,
        amount=round_money(unrounded, exponent),
        tiers=_bands(price, billable),
    )


def _bands(price: UnitPrice, billable: Decimal) -> tuple[TierCharge, ...]:
    tiers = [Tier(tier.up_to, tier.unit_price, tier.flat_fee) for tier in price.tiers]
    model = {"GRADUATED": graduated, "VOLUME_TIERED": volume_tiered}.get(price.model)
    return tuple(model.breakdown(billable, tiers=tiers)) if model else ()


def _fee(plan: RatePlan, exponent: int) -> PricedLine:
    fee = plan.base_fee or _ZERO
    return PricedLine(None, "Base fee", "FEE", None, _ZERO, None, _ZERO, fee, round_money(fee, exponent))
