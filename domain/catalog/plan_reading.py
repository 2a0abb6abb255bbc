"""Reading rate plans as written. Put here: the fields of a plan and of its prices, in all their spellings, and what a plan
must not say. Keep out: what is legal but odd (pricing_warnings.py), whether units exist."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from domain.catalog.fields import KEY, FieldProblem, Fields, required, shown
from domain.catalog.plan_terms import (
    OVERAGE,
    TIMINGS,
    read_commitment,
    read_dimensions,
    read_rate_limit,
    read_rollover,
)
from domain.catalog.plans import MODELS, TIERED, RatePlan, Tier, UnitPrice
from domain.catalog.tax_rates import read_category
from domain.errors import BadRequest
from domain.money import EXPONENTS
from domain.quantity import plain

_PER_EVENT = {"perEventFee": "per_event_fee", "perEventMin": "per_event_min", "perEventMax": "per_event_max"}
_METERED = tuple(model for model in MODELS if model != "FLAT_RATE")
_BELONGS_TO = {
    "tiers": TIERED,
    "blockSize": ("INCLUDED_QUOTA",),
    "blockRateBasis": ("INCLUDED_QUOTA",),
    "flatRate": ("FLAT_RATE",),
    "ratePercent": ("PERCENTAGE",),
    **dict.fromkeys(("includedFree", "minFee", "limit", "rollover", "dimensionPricing"), _METERED),
    **dict.fromkeys(_PER_EVENT, ("PERCENTAGE",)),
}
_NOT_YET = {"coupons": "a coupon", "discounts": "a discount", "tax": "tax", "taxCode": "tax"}


class DuplicateUnit(FieldProblem, BadRequest):
    """One plan prices one unit twice."""

    code = "DUPLICATE_METRIC"

    def __init__(self, path: str, unit: str) -> None:
        super().__init__(path, f"{unit!r} is priced twice; price it once")


def read_plan(fields: Fields, default_currency: str) -> RatePlan:
    """A plan as written: our own spelling and the wire's. Units are as written: a key or a name.

    Raises FieldProblem, TermsNotSupported, DuplicateUnit.
    """
    fields.refuse(_NOT_YET)
    key = fields.key("key", "id")
    model = fields.choice("pricingModel", MODELS) if fields.has("pricingModel") else None
    plan = RatePlan(
        key=key,
        name=fields.maybe_text("name") or key,
        currency=fields.choice("currency", EXPONENTS, default_currency),
        description=fields.maybe_text("description"),
        base_fee=fields.price("baseFee"),
        prices=_prices(fields),
        pricing_model=model,
        products=tuple(dict.fromkeys(fields.keys("productIds"))),
        base_fee_timing=fields.choice("baseFeeTiming", TIMINGS, "ARREARS"),
        setup_fee=fields.price("setupFee"),
        minimum_spend=fields.price("minimumSpend", "minSpend") or None,
        maximum_spend=fields.price("maximumSpend", "maxSpend"),
        commitment=read_commitment(fields),
        rate_limit=read_rate_limit(fields),
        dimensions=read_dimensions(fields),
        tax_category=read_category(fields),
    )
    fields.done()
    refuse_duplicates(plan, fields)
    _refuse_contradictions(plan, fields)
    return plan


def refuse_duplicates(plan: RatePlan, fields: Fields) -> None:
    """Raise DuplicateUnit where a unit is priced twice, in whatever case."""
    seen: set[str] = set()
    name = fields.raw("metrics", "metricConfigs")[0]
    for index, price in enumerate(plan.prices):
        unit = price.unit.strip().lower()
        if unit in seen:
            raise DuplicateUnit(f"{fields.at(name)}[{index}].unit", price.unit)
        seen.add(unit)


def _refuse_contradictions(plan: RatePlan, fields: Fields) -> None:
    """Terms that exclude each other: a plan that charges for nothing, a greatest spend below what is due anyway."""
    if not plan.prices and plan.base_fee is None:
        raise FieldProblem(
            fields.at("metrics"), "is missing, and so is baseFee; a plan must charge for something"
        )
    most = plan.maximum_spend
    if most is None:
        return
    least = [("minimumSpend", plan.minimum_spend)]
    least += [(f"metrics[{at}].minFee", price.min_fee) for at, price in enumerate(plan.prices)]
    if plan.commitment and plan.commitment.type == "MONTHLY":
        least.append(("commitment.amount", plan.commitment.amount))
    for name, amount in least:
        if amount is not None and amount > most:
            raise FieldProblem(fields.at(name), f"{plain(amount)} is above maximumSpend {plain(most)}")


def _prices(fields: Fields) -> tuple[UnitPrice, ...]:
    items = fields.items("metrics", "metricConfigs")
    return tuple(_price(Fields(item, path)) for path, item in items)


def _price(fields: Fields) -> UnitPrice:
    model = fields.choice("model", MODELS, "PER_UNIT")
    _refuse_misplaced(fields, model)
    price = UnitPrice(
        unit=_unit(fields),
        model=model,
        rate=_rate(fields, model),
        flat_amount=(fields.price("flatRate", "flatFee") or Decimal(0)) if model == "FLAT_RATE" else None,
        included_free=fields.quantity("includedFree") or Decimal(0),
        min_fee=_min_fee(fields, model),
        tiers=_tiers(fields) if model in TIERED else (),
        limit=fields.quantity("limit", "cap", "hardLimit"),
        overage=fields.choice("ovBehavior", OVERAGE, "CHARGE"),
        rollover=read_rollover(fields),
        timing=_timing(fields),
        dimensions=read_dimensions(fields),
        tax_category=read_category(fields),
        **_block(fields, model),
        **_per_event(fields),
    )
    fields.done()
    return _agreeing(price, fields)


def _timing(fields: Fields) -> str:
    """What a unit comes to is known when its period is over, so only fees are charged ahead of it."""
    timing = fields.choice("billingTiming", TIMINGS, "ARREARS")
    if timing == "ADVANCE":
        raise FieldProblem(
            fields.at("billingTiming"),
            "ADVANCE cannot be said of a unit, whose usage is known when the period is over; use ARREARS, and for what is paid "
            "ahead a baseFee with baseFeeTiming ADVANCE",
        )
    return timing


def _agreeing(price: UnitPrice, fields: Fields) -> UnitPrice:
    if price.overage != "CHARGE" and not price.cap:
        if price.model == "FLAT_RATE":
            return replace(price, overage="CHARGE")
        raise FieldProblem(
            fields.at("ovBehavior"), f"{price.overage} needs a limit, or includedFree to end at"
        )
    carried = price.rollover.cap if price.rollover else None
    if carried is not None and price.limit is not None and carried > price.limit:
        raise FieldProblem(fields.at("rollover.cap"), f"{plain(carried)} is above limit {plain(price.limit)}")
    return price


def _unit(fields: Fields) -> str:
    """The unit's key, or its name. Clients send `metricId` with `metricName`: the id decides."""
    by_id = fields.raw("metricId")[1] is not None
    name = "metricId" if by_id else fields.raw("unit", "metric", "metricName")[0]
    if by_id:
        fields.maybe_text("metricName")
    found = fields.text(name)
    if name in ("unit", "metric") and not KEY.fullmatch(found):
        right = "letters, digits and . _ : - only, at most 128, the first a letter or digit"
        raise FieldProblem(fields.at(name), f"{shown(found)} cannot be an identifier; use {right}")
    return found


def _refuse_misplaced(fields: Fields, model: str) -> None:
    """A field that means nothing for the model is a misunderstanding worth hearing of."""
    for name, models in _BELONGS_TO.items():
        if fields.raw(name)[1] and model not in models:
            raise FieldProblem(
                fields.at(name), f"means nothing for {model}; leave it out or choose another model"
            )


def _rate(fields: Fields, model: str) -> Decimal | None:
    """The rate; for PERCENTAGE as a fraction, written `ratePercent: 2.5` or `rate: 0.025`."""
    if model == "PERCENTAGE" and fields.has("ratePercent"):
        if fields.has("rate"):
            raise FieldProblem(fields.at("rate"), "says the same as ratePercent; write one of them")
        percent = fields.price("ratePercent")
        assert percent is not None
        fraction = percent.scaleb(-2)
        if int(fraction.as_tuple().exponent) < -12 and fraction != round(fraction, 12):
            raise FieldProblem(fields.at("ratePercent"), f"{percent} has more than 10 decimal places")
        return fraction
    rate = fields.price("rate", "overageRate") if model == "INCLUDED_QUOTA" else fields.price("rate")
    if model in (*TIERED, "FLAT_RATE"):
        if rate:
            where = "flatRate" if model == "FLAT_RATE" else "tiers"
            raise FieldProblem(
                fields.at("rate"), f"{rate} means nothing for {model}; write 0 and put prices in {where}"
            )
        return None
    return required(fields, "rate", rate)


def _min_fee(fields: Fields, model: str) -> Decimal | None:
    """The floor of the period. A 0, which clients send with every price, says nothing outside PERCENTAGE."""
    fee = fields.price("minFee")
    return fee if model == "PERCENTAGE" else fee or None


def _block(fields: Fields, model: str) -> dict[str, Any]:
    size = fields.quantity("blockSize") or None
    basis = fields.choice("blockRateBasis", ("PER_BLOCK", "PER_UNIT"), "PER_BLOCK")
    return {"block_size": size, "block_rate_basis": basis} if size and model == "INCLUDED_QUOTA" else {}


def _per_event(fields: Fields) -> dict[str, Any]:
    found = {target: fields.price(name) for name, target in _PER_EVENT.items()}
    per_event = [name for name in _PER_EVENT if fields.has(name)]
    for name in ("includedFree", "limit"):
        if per_event and fields.quantity(name):
            raise FieldProblem(
                fields.at(name), f"cannot be combined with {per_event[0]}: free units have no events"
            )
    least, most = found["per_event_min"], found["per_event_max"]
    if least is not None and most is not None and least > most:
        raise FieldProblem(fields.at("perEventMin"), f"{least} is above perEventMax {most}")
    return found


def _tiers(fields: Fields) -> tuple[Tier, ...]:
    """Bands written with `upTo`, or with `tierStart` and `tierEnd` (-1: open), which may be in any `sortOrder`."""
    items = fields.items("tiers")
    if not items:
        raise FieldProblem(fields.at("tiers"), "is missing; write at least one tier, the last without upTo")
    read = sorted(((Fields(item, path)) for path, item in items), key=_sort_order)
    tiers: list[Tier] = []
    for index, tier in enumerate(read):
        above = tiers[-1].up_to if tiers else Decimal(0)
        tiers.append(_tier(tier, above, last=index == len(read) - 1))
    return tuple(tiers)


def _sort_order(tier: Fields) -> int:
    return tier.whole("sortOrder", 0, 10_000) or 0


def _tier(fields: Fields, above: Decimal | None, *, last: bool) -> Tier:
    bound = "tierEnd" if fields.has("tierEnd", "tierStart") else "upTo"
    if fields.has("tierStart") and (start := fields.quantity("tierStart")) != above:
        raise FieldProblem(fields.at("tierStart"), f"{start} is not {above}, where the tier before ends")
    open_end = fields.raw("upTo", "tierEnd")[1] in (None, -1, "-1")
    up_to = None if open_end else fields.quantity("upTo", "tierEnd")
    if last and up_to is not None:
        raise FieldProblem(
            fields.at(bound), f"{plain(up_to)} ends the last tier; leave it open, so no usage is free"
        )
    if not last and up_to is None:
        raise FieldProblem(fields.at(bound), "is missing; only the last tier is open")
    if up_to is not None and above is not None and up_to <= above:
        raise FieldProblem(
            fields.at(bound), f"{plain(up_to)} is not above {plain(above)}; tier bounds must rise strictly"
        )
    price = required(fields, "unitPrice", fields.price("unitPrice", "unit_price"))
    tier = Tier(up_to=up_to, unit_price=price, flat_fee=fields.price("flatFee") or Decimal(0))
    fields.done()
    return tier
