"""What a plan may agree on besides prices. Put here: rollover, prices by dimension, commitments, rate limits: their shapes
and readers. Keep out: prices and tiers (plan_reading.py), what billing makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from domain.catalog.fields import FieldProblem, Fields, required, shown

TIMINGS = ("ARREARS", "ADVANCE")
OVERAGE = ("CHARGE", "BLOCK", "IGNORE")
COMMITMENTS = ("PREPAID", "MONTHLY", "ANNUAL")
_MOST_FACTOR = Decimal(1000)
_MOST_DIMENSIONS = 1000


@dataclass(frozen=True, slots=True)
class Rollover:
    """Unused free units carry over to the next period, at most `cap` of them (None: all)."""

    cap: Decimal | None = None


@dataclass(frozen=True, slots=True)
class DimensionPrice:
    """What usage with one value of the field costs: `multiplier` times the price, or its own `price` per unit."""

    value: str
    multiplier: Decimal | None = None
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class DimensionPricing:
    """Prices by a field of the event. field: None where the plan names values only, whatever field carries them."""

    field: str | None
    values: tuple[DimensionPrice, ...]


@dataclass(frozen=True, slots=True)
class Commitment:
    """Spend agreed beforehand. true_up: what is missing at the end of the term is billed. overage_factor: beyond it, prices
    are multiplied by this. term_months: how long it binds (MONTHLY: 1 is each month by itself)."""

    type: str
    amount: Decimal
    true_up: bool = True
    overage_factor: Decimal = Decimal(1)
    term_months: int = 12


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Requests let through in a window of seconds; `burst` more at once."""

    requests: int
    window_seconds: int = 60
    burst: int = 0


def read_rollover(fields: Fields) -> Rollover | None:
    """`rollover: true`, or `{enabled, cap}`; None where it is absent or off."""
    name, value = fields.raw("rollover")
    if value is None or isinstance(value, bool):
        return Rollover() if value else None
    inner = Fields(value, fields.at(name))
    enabled, cap = inner.flag("enabled", True), inner.quantity("cap")
    inner.done()
    if cap is not None and not cap:
        raise FieldProblem(inner.at("cap"), "0 carries nothing over; turn rollover off instead")
    return Rollover(cap) if enabled else None


def read_dimensions(fields: Fields) -> DimensionPricing | None:
    """`{field, values: {value: {multiplier} or {price}}}`, or in short `{value: multiplier}`."""
    name, sent = fields.raw("dimensionPricing")
    if sent is None or sent == {}:
        return None
    path = fields.at(name)
    if not isinstance(sent, Mapping):
        raise FieldProblem(path, f"{shown(sent)} is not an object; write field and values")
    if "values" not in sent:
        return DimensionPricing(None, _dimension_values(sent, path))
    inner = Fields(sent, path)
    field = inner.maybe_text("field")
    _, values = inner.raw("values")
    inner.done()
    if not isinstance(values, Mapping) or not values:
        raise FieldProblem(inner.at("values"), f"{shown(values)} names no value; write value: multiplier")
    return DimensionPricing(field, _dimension_values(values, inner.at("values")))


def _dimension_values(sent: Mapping[object, object], path: str) -> tuple[DimensionPrice, ...]:
    if len(sent) > _MOST_DIMENSIONS:
        raise FieldProblem(path, f"has {len(sent)} values; at most {_MOST_DIMENSIONS} can be priced")
    found = (_dimension(str(value), price, f"{path}.{value}") for value, price in sent.items())
    return tuple(sorted(found, key=lambda each: each.value))


def _dimension(value: str, sent: object, path: str) -> DimensionPrice:
    inner = Fields(sent if isinstance(sent, Mapping) else {"multiplier": sent}, path)
    multiplier, price = inner.price("multiplier"), inner.price("price")
    inner.done()
    if (multiplier is None) == (price is None):
        raise FieldProblem(path, "needs a multiplier or a price of its own, one of them")
    return DimensionPrice(value, multiplier, price)


def read_commitment(fields: Fields) -> Commitment | None:
    """`{type, amount, trueUp, overageFactor, termMonths}`; None where it is absent."""
    name, sent = fields.raw("commitment")
    if sent is None:
        return None
    inner = Fields(sent, fields.at(name))
    kind = inner.choice("type", COMMITMENTS)
    amount = required(inner, "amount", inner.price("amount"))
    factor = inner.price("overageFactor")
    commitment = Commitment(
        type=kind,
        amount=amount,
        true_up=inner.flag("trueUp", True),
        overage_factor=Decimal(1) if factor is None else factor,
        term_months=inner.whole("termMonths", 1, 120) or (1 if kind == "MONTHLY" else 12),
    )
    inner.done()
    if not amount:
        raise FieldProblem(inner.at("amount"), "0 commits to nothing; leave the commitment out")
    if not 0 < commitment.overage_factor <= _MOST_FACTOR:
        raise FieldProblem(inner.at("overageFactor"), f"{factor} is not above 0 and at most {_MOST_FACTOR}")
    return commitment


def read_rate_limit(fields: Fields) -> RateLimit | None:
    """`rateLimit: {requests, windowSeconds, burst}`; None where it is absent."""
    name, sent = fields.raw("rateLimit")
    return None if sent is None else rate_limit_of(Fields(sent, fields.at(name)))


def rate_limit_of(fields: Fields) -> RateLimit:
    """The limit an object states. Raises FieldProblem."""
    limit = RateLimit(
        requests=required(fields, "requests", fields.whole("requests", 1, 1_000_000_000)),
        window_seconds=fields.whole("windowSeconds", 1, 2_678_400) or 60,
        burst=fields.whole("burst", 0, 1_000_000_000) or 0,
    )
    fields.done()
    return limit
