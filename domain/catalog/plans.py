"""Rate plans. Put here: what a plan charges, how it is read, and its frozen content. Keep out: charging (domain.pricing).

A published version is the plan's content frozen with the definitions of its units; subscriptions pin one, so neither a new
price nor a renamed unit changes what was agreed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from domain.catalog.fields import FieldProblem, Fields, TermsNotSupported, required
from domain.catalog.units import Unit
from domain.money import EXPONENTS
from domain.quantity import plain

MODELS = ("PER_UNIT", "FLAT_RATE", "PERCENTAGE", "INCLUDED_QUOTA", "GRADUATED", "VOLUME_TIERED")
TIERED = ("GRADUATED", "VOLUME_TIERED")
_PERCENTAGE_ONLY = {
    "minFee": "min_fee", "perEventFee": "per_event_fee", "perEventMin": "per_event_min", "perEventMax": "per_event_max",
}  # fmt: skip
_BELONGS_TO = {
    "tiers": TIERED,
    "blockSize": ("INCLUDED_QUOTA",),
    "blockRateBasis": ("INCLUDED_QUOTA",),
    "flatRate": ("FLAT_RATE",),
    "ratePercent": ("PERCENTAGE",),
    "includedFree": tuple(model for model in MODELS if model != "FLAT_RATE"),
    **dict.fromkeys(_PERCENTAGE_ONLY, ("PERCENTAGE",)),
}
_NOT_YET = {
    "minimumSpend": "a minimum spend", "minSpend": "a minimum spend", "maximumSpend": "a maximum spend",
    "maxSpend": "a maximum spend", "commitment": "a commitment", "coupons": "a coupon", "discounts": "a discount",
    "tax": "tax", "taxCode": "tax", "dimensionPricing": "a price by dimension",
}  # fmt: skip
_NOT_YET_OF_UNIT = {
    "cap": "a usage cap", "limit": "a usage cap", "hardLimit": "a usage cap", "rollover": "rollover",
    "rolloverLimit": "rollover", "dimensionPricing": "a price by dimension",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tier:
    """A band of usage; `up_to` is inclusive, None in the last."""

    up_to: Decimal | None
    unit_price: Decimal
    flat_fee: Decimal


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """How a plan prices one unit. rate: per unit or block; for PERCENTAGE the fraction (0.025 is 2.5 %)."""

    unit: str
    model: str
    rate: Decimal | None = None
    flat_amount: Decimal | None = None
    included_free: Decimal = Decimal(0)
    block_size: Decimal | None = None
    block_rate_basis: str | None = None
    min_fee: Decimal | None = None
    per_event_fee: Decimal | None = None
    per_event_min: Decimal | None = None
    per_event_max: Decimal | None = None
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True)
class RatePlan:
    """Prices of one or more units and a fee for each period, in one currency."""

    key: str
    name: str
    currency: str
    description: str | None = None
    base_fee: Decimal | None = None
    prices: tuple[UnitPrice, ...] = ()

    def content(self, units: Mapping[str, Unit]) -> dict[str, Any]:
        """The plan frozen with its units' definitions, as JSON: decimals are text."""
        return {
            "name": self.name,
            "currency": self.currency,
            "baseFee": _text(self.base_fee),
            "prices": [_price_content(price, units[price.unit]) for price in self.prices],
        }


def plan_of(key: str, description: str | None, content: Mapping[str, Any]) -> RatePlan:
    """The plan a version's content was made from."""
    return RatePlan(
        key=key,
        name=content["name"],
        currency=content["currency"],
        description=description,
        base_fee=_decimal(content["baseFee"]),
        prices=tuple(_price_of(price) for price in content["prices"]),
    )


def content_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a version's content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_plan(fields: Fields, default_currency: str) -> RatePlan:
    """Raises FieldProblem, TermsNotSupported."""
    fields.refuse(_NOT_YET)
    key = fields.key("key")
    plan = RatePlan(
        key=key,
        name=fields.maybe_text("name") or key,
        currency=fields.choice("currency", EXPONENTS, default_currency),
        description=fields.maybe_text("description"),
        base_fee=fields.price("baseFee"),
        prices=tuple(_price(Fields(item, path)) for path, item in fields.items("metrics", "metricConfigs")),
    )
    fields.done()
    seen: set[str] = set()
    for index, price in enumerate(plan.prices):
        if price.unit.lower() in seen:
            raise FieldProblem(
                f"{fields.path}.metrics[{index}].unit", f"{price.unit!r} is priced twice; price it once"
            )
        seen.add(price.unit.lower())
    if not plan.prices and plan.base_fee is None:
        raise FieldProblem(
            fields.at("metrics"), "is missing, and so is baseFee; a plan must charge for something"
        )
    return plan


def _price(fields: Fields) -> UnitPrice:
    _refuse_unsupported(fields)
    model = fields.choice("model", MODELS, "PER_UNIT")
    _refuse_misplaced(fields, model)
    price = UnitPrice(
        unit=fields.key("unit", "metric", "metricName"),
        model=model,
        rate=_rate(fields, model),
        flat_amount=(fields.price("flatRate", "flatFee") or Decimal(0)) if model == "FLAT_RATE" else None,
        included_free=fields.quantity("includedFree") or Decimal(0),
        tiers=_tiers(fields) if model in TIERED else (),
        **_block(fields, model),
        **_percentage(fields),
    )
    fields.done()
    return price


def _refuse_misplaced(fields: Fields, model: str) -> None:
    """A field that means nothing for the model is a misunderstanding worth hearing of."""
    for name, models in _BELONGS_TO.items():
        if fields.raw(name)[1] and model not in models:
            raise FieldProblem(
                fields.at(name), f"means nothing for {model}; leave it out or choose another model"
            )


def _refuse_unsupported(fields: Fields) -> None:
    fields.refuse(_NOT_YET_OF_UNIT)
    if fields.choice("ovBehavior", ("CHARGE", "BLOCK", "IGNORE"), "CHARGE") != "CHARGE":
        raise TermsNotSupported(fields.at("ovBehavior"), "anything but CHARGE beyond the included units")
    if fields.choice("billingTiming", ("ARREARS", "ADVANCE"), "ARREARS") != "ARREARS":
        raise TermsNotSupported(fields.at("billingTiming"), "a charge in ADVANCE")


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


def _block(fields: Fields, model: str) -> dict[str, Any]:
    size = fields.quantity("blockSize") or None
    basis = fields.choice("blockRateBasis", ("PER_BLOCK", "PER_UNIT"), "PER_BLOCK")
    return {"block_size": size, "block_rate_basis": basis} if size and model == "INCLUDED_QUOTA" else {}


def _percentage(fields: Fields) -> dict[str, Any]:
    found = {target: fields.price(name) for name, target in _PERCENTAGE_ONLY.items()}
    per_event = [name for name in ("perEventFee", "perEventMin", "perEventMax") if fields.has(name)]
    if per_event and fields.quantity("includedFree"):
        raise FieldProblem(
            fields.at("includedFree"), f"cannot be combined with {per_event[0]}: free units have no events"
        )
    least, most = found["per_event_min"], found["per_event_max"]
    if least is not None and most is not None and least > most:
        raise FieldProblem(fields.at("perEventMin"), f"{least} is above perEventMax {most}")
    return found


def _tiers(fields: Fields) -> tuple[Tier, ...]:
    """Bands written with `upTo`, or with `tierStart` and `tierEnd` (-1: open)."""
    items = fields.items("tiers")
    if not items:
        raise FieldProblem(fields.at("tiers"), "is missing; write at least one tier, the last without upTo")
    tiers: list[Tier] = []
    for index, (path, item) in enumerate(items):
        tier = _tier(
            Fields(item, path), tiers[-1].up_to if tiers else Decimal(0), last=index == len(items) - 1
        )
        tiers.append(tier)
    return tuple(tiers)


def _tier(fields: Fields, above: Decimal | None, *, last: bool) -> Tier:
    bound = "tierEnd" if fields.has("tierEnd", "tierStart") else "upTo"
    fields.whole("sortOrder", 0, 10_000)
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


def _price_content(price: UnitPrice, unit: Unit) -> dict[str, Any]:
    conditions = [{"field": c.field, "operator": c.operator, "value": c.value} for c in unit.filters]
    return {
        "unit": unit.key,
        "unitName": unit.name,
        "aggregation": unit.aggregation,
        "eventField": unit.event_field,
        "filters": conditions,
        "model": price.model,
        "rate": _text(price.rate),
        "flatAmount": _text(price.flat_amount),
        "includedFree": _text(price.included_free),
        "blockSize": _text(price.block_size),
        "blockRateBasis": price.block_rate_basis,
        "minFee": _text(price.min_fee),
        "perEventFee": _text(price.per_event_fee),
        "perEventMin": _text(price.per_event_min),
        "perEventMax": _text(price.per_event_max),
        "tiers": [
            {"upTo": _text(tier.up_to), "unitPrice": _text(tier.unit_price), "flatFee": _text(tier.flat_fee)}
            for tier in price.tiers
        ],
    }


def _price_of(content: Mapping[str, Any]) -> UnitPrice:
    tiers = content["tiers"]
    return UnitPrice(
        unit=content["unit"],
        model=content["model"],
        rate=_decimal(content["rate"]),
        flat_amount=_decimal(content["flatAmount"]),
        included_free=Decimal(content["includedFree"]),
        block_size=_decimal(content["blockSize"]),
        block_rate_basis=content["blockRateBasis"],
        min_fee=_decimal(content["minFee"]),
        per_event_fee=_decimal(content["perEventFee"]),
        per_event_min=_decimal(content["perEventMin"]),
        per_event_max=_decimal(content["perEventMax"]),
        tiers=tuple(
            Tier(_decimal(tier["upTo"]), Decimal(tier["unitPrice"]), Decimal(tier["flatFee"]))
            for tier in tiers
        ),
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)
