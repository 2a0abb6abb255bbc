"""Prices that are legal but odd. Put here: what a product manager should look at twice. Keep out: what is refused
(plan_reading.py)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal

from domain.catalog.plans import RatePlan, Tier, UnitPrice
from domain.commitment import MONTHLY
from domain.quantity import plain

_WIDE = Context(prec=60)
_STEP = Decimal("1e-9")


@dataclass(frozen=True, slots=True)
class Warning:
    """field: path within the plan, as `read_plan` spells it. code: stable. message: what is odd, in numbers."""

    code: str
    field: str
    message: str


def warnings_of(plan: RatePlan) -> list[Warning]:
    """Everything odd about the plan, in the order of its fields."""
    found = list(_of_plan(plan))
    for index, price in enumerate(plan.prices):
        found += _of_price(price, f"metrics[{index}]")
    return found


def _of_plan(plan: RatePlan) -> Iterator[Warning]:
    base = plan.base_fee or Decimal(0)
    if plan.base_fee is not None and not base and not plan.prices:
        yield Warning("ZERO_RATE", "baseFee", "is 0 and nothing else is priced: the plan is free")
    if plan.minimum_spend is not None and plan.base_fee is not None and plan.minimum_spend <= base:
        what = f"{plain(plan.minimum_spend)} is not above baseFee {plain(base)}, so it never applies"
        yield Warning("MINIMUM_WITHOUT_EFFECT", "minimumSpend", what)
    if plan.maximum_spend is not None and plan.maximum_spend < base:
        what = f"{plain(plan.maximum_spend)} is below baseFee {plain(base)}, which is never charged in full"
        yield Warning("MAXIMUM_BELOW_BASE_FEE", "maximumSpend", what)
    for field, what in _not_billed_yet(plan):
        message = f"{what} cannot be billed yet: invoices of the plan's customers are held until it can"
        yield Warning("HELD_FROM_BILLING", field, message)


def _not_billed_yet(plan: RatePlan) -> Iterator[tuple[str, str]]:
    if plan.base_fee_timing == "ADVANCE":
        if plan.commitment is not None and plan.commitment.type != MONTHLY:
            yield "baseFeeTiming", "a base fee in advance with a commitment over a term"
        if not plan.prices and (plan.minimum_spend is not None or plan.maximum_spend is not None):
            yield "baseFeeTiming", "a base fee in advance with a minimum or maximum spend and no unit"
    for at, price in enumerate(plan.prices):
        if (price.dimensions or plan.dimensions) is not None and price.min_fee:
            yield f"metrics[{at}].dimensionPricing", "a price by dimension with a minimum fee"


def _of_price(price: UnitPrice, path: str) -> Iterator[Warning]:
    yield from _quotas(price, path)
    yield from _zero(price, path)
    if price.model == "VOLUME_TIERED":
        yield from _cliffs(price, path)
    if price.model == "GRADUATED":
        yield from _rising(price, path)


def _quotas(price: UnitPrice, path: str) -> Iterator[Warning]:
    free, limit = price.included_free, price.limit
    if price.block_size and not free:
        what = f"blocks of {plain(price.block_size)} begin with the first unit, because includedFree is 0"
        yield Warning("BLOCKS_WITHOUT_FREE_UNITS", f"{path}.blockSize", what)
    elif price.model == "INCLUDED_QUOTA" and not free:
        yield Warning("QUOTA_WITHOUT_FREE_UNITS", f"{path}.includedFree", "is 0: nothing is included")
    if limit is not None and limit < free:
        what = f"{plain(limit)} is below includedFree {plain(free)}: the free units cannot all be used"
        yield Warning("LIMIT_BELOW_FREE_UNITS", f"{path}.limit", what)
    if limit is not None and price.overage == "CHARGE":
        what = f"{plain(limit)} limits nothing while ovBehavior is CHARGE"
        yield Warning("LIMIT_WITHOUT_EFFECT", f"{path}.limit", what)
    if price.rollover and not free:
        yield Warning("ROLLOVER_OF_NOTHING", f"{path}.rollover", "there are no free units to carry over")


def _zero(price: UnitPrice, path: str) -> Iterator[Warning]:
    if price.model == "FLAT_RATE":
        if not price.flat_amount:
            yield Warning("ZERO_RATE", f"{path}.flatRate", f"is 0: {price.unit} is free")
    elif price.tiers:
        for index, tier in enumerate(price.tiers):
            if not tier.unit_price and not tier.flat_fee:
                where = "above all others" if tier.up_to is None else f"up to {plain(tier.up_to)}"
                yield Warning(
                    "ZERO_RATE", f"{path}.tiers[{index}].unitPrice", f"is 0: the tier {where} is free"
                )
    elif not price.rate and not price.min_fee and not price.per_event_fee and not price.per_event_min:
        yield Warning("ZERO_RATE", f"{path}.rate", f"is 0: {price.unit} is free")


def _rising(price: UnitPrice, path: str) -> Iterator[Warning]:
    for index in range(1, len(price.tiers)):
        lower, upper = price.tiers[index - 1], price.tiers[index]
        if upper.unit_price > lower.unit_price:
            what = f"{plain(upper.unit_price)} is above {plain(lower.unit_price)} of the tier before: using more costs more each"
            yield Warning("RISING_PRICE", f"{path}.tiers[{index}].unitPrice", what)


def _cliffs(price: UnitPrice, path: str) -> Iterator[Warning]:
    """Where one unit more makes the whole quantity cheaper: from the bound to where the bound's charge is reached again."""
    free = price.included_free
    for index, tier in enumerate(price.tiers[:-1]):
        bound = tier.up_to
        assert bound is not None
        charge = _WIDE.add(_WIDE.multiply(bound, tier.unit_price), tier.flat_fee)
        until = _cheaper_until(charge, bound, price.tiers[index + 1 :])
        if until == bound:
            continue
        at = plain(bound + free)
        end = "" if until is None else f" and below {plain(until + free)}"
        what = f"usage above {at}{end} costs less than {at} does ({plain(charge)}): more usage is cheaper"
        yield Warning("VOLUME_CLIFF", f"{path}.tiers[{index}].upTo", what)


def _cheaper_until(charge: Decimal, bound: Decimal, above: tuple[Tier, ...]) -> Decimal | None:
    """Where usage above the bound comes to `charge` again; the bound itself: at once. None: never."""
    for tier in above:
        if tier.flat_fee >= charge:
            return bound
        if not tier.unit_price:
            equal = None
        else:
            equal = _WIDE.divide(_WIDE.subtract(charge, tier.flat_fee), tier.unit_price)
            if equal <= bound:
                return bound
        if equal is not None and (tier.up_to is None or equal <= tier.up_to):
            return equal.quantize(_STEP, ROUND_CEILING, _WIDE)
        if tier.up_to is None:
            return None
        bound = tier.up_to
    return None
