"""Prices by a field of the event, as lines of their own. Put here: the lines a unit's price opens into. Keep out: which event has
which value (transforms.enrich), sharing free units (transforms.free_units)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

USUAL_FIELDS = ("tool_name", "endpoint_path", "capability_name")
"""Where a plan names values but no field: the first of these an event has."""
_MULTIPLIED = ("rate", "per_event_fee", "per_event_min", "per_event_max")
_PRICES = (*_MULTIPLIED, "tiers", "block_size", "block_rate_basis")
_STEP = Decimal("1e-12")
_WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)


def by_dimension(item: Mapping[str, Any], agreed: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The line of a unit, and one for each value with a price of its own. agreed: `dimensionPricing` of a version's content.

    Each line counts its own usage through its own tiers. The first has the free units, which all share, and every other value.
    A flat rate is due whatever is used, and is not split. Multiplied prices are rounded, half to even, to the twelve places prices have.
    """
    if not agreed or item["model"] == "FLAT_RATE":
        return [dict(item)]
    field = agreed.get("field")
    refused = ", ".join(_not_honoured(item)) or item.get("unsupported")
    whole = {
        **item,
        "dimension_fields": list(USUAL_FIELDS) if field is None else [field],
        "unsupported": refused,
    }
    lines = [whole]
    for value, said in sorted(agreed["values"].items()):
        lines.append({**whole, **_priced(item, said), **_of_value(item, value)})
    return lines


def _not_honoured(item: Mapping[str, Any]) -> Iterator[str]:
    """What belongs to the unit as a whole and cannot be shared out among its lines yet."""
    if item.get("unsupported"):
        yield item["unsupported"]
    if item["cap"] is not None and item["cap_behavior"] != "CHARGE" and not adds_up(item):
        yield "a price by dimension under a hard cap, of a unit that is neither counted nor summed"
    if item["min_fee"]:
        yield "a price by dimension with a minimum fee"


def adds_up(item: Mapping[str, Any]) -> bool:
    """Whether a unit's value is the sum of what its lines count, so that they can share a hard cap."""
    return item["aggregation"] in ("COUNT", "SUM")


def _of_value(item: Mapping[str, Any], value: str) -> dict[str, Any]:
    return {
        "dimension_value": value,
        "description": f"{item['description']}: {value}",
        "included_free": Decimal(0),
        "min_fee": None,
        "cap": None,
        "cap_carries": None,
        "rollover": False,
    }


def _priced(item: Mapping[str, Any], said: Mapping[str, str]) -> dict[str, Any]:
    if "price" in said:
        return {**dict.fromkeys(_PRICES), "model": "PER_UNIT", "rate": Decimal(said["price"])}
    factor = Decimal(said["multiplier"])
    tiers = item["tiers"]
    return {
        **{name: _times(item[name], factor) for name in _MULTIPLIED},
        "tiers": tiers
        and [
            {**tier, **{name: _times(tier[name], factor) for name in ("unit_price", "flat_fee")}}
            for tier in tiers
        ],
    }


def _times(price: Decimal | None, factor: Decimal) -> Decimal | None:
    return None if price is None else _WIDE.multiply(price, factor).quantize(_STEP, context=_WIDE)
