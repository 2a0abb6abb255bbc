"""The JSON Schema of rate plans. Keep out: other nouns (schema.py), which terms exclude each other (plan_reading.py)."""

from __future__ import annotations

from domain.catalog.plan_terms import COMMITMENTS, OVERAGE, TIMINGS
from domain.catalog.plans import MODELS
from domain.catalog.schema_parts import (
    CURRENCY,
    Schema,
    amount,
    choice,
    flag,
    items,
    key,
    keys,
    text,
    thing,
    whole,
)


def rate_plan() -> Schema:
    """Of read_plan."""
    fields = {
        "key": key("Never changes."),
        "name": text("What people see; default: the key."),
        "description": text("Changing it makes no new version."),
        "currency": {**CURRENCY, "description": "It never changes."},
        "pricingModel": choice("What its prices have in common.", MODELS),
        "productIds": keys("Products it is made for."),
        "baseFee": amount("Of a period, whatever is used."),
        "baseFeeTiming": choice("Billed after the period, or before.", TIMINGS, "ARREARS"),
        "setupFee": amount("Once."),
        "minimumSpend": amount("A period comes to this at least."),
        "maximumSpend": amount("A period comes to this at most."),
        "commitment": commitment(),
        "rateLimit": rate_limit(),
        "dimensionPricing": dimension_pricing(),
        "taxCategory": text("What kind of thing it is, as tax rates name it."),
        "metrics": items("A price for each unit.", price()),
    }
    also = {"id": "key", "metricConfigs": "metrics", "minSpend": "minimumSpend", "maxSpend": "maximumSpend"}
    return thing("A rate plan; it charges for something.", fields, ["key"], also)


def price() -> Schema:
    """Of one unit's price."""
    fields = {
        "unit": key("The unit's key or name."),
        "model": choice("How the price is made.", MODELS, "PER_UNIT"),
        "rate": amount("Per unit, per block, or (PERCENTAGE) as a fraction."),
        "ratePercent": amount("Of PERCENTAGE: 2.5 is 2.5 %."),
        "flatRate": amount("Of FLAT_RATE."),
        "includedFree": amount("Units that cost nothing."),
        "blockSize": amount("Of INCLUDED_QUOTA: sold in blocks beyond the free units."),
        "blockRateBasis": choice("What rate is for.", ("PER_BLOCK", "PER_UNIT"), "PER_BLOCK"),
        "minFee": amount("A period comes to this at least."),
        "perEventFee": amount("Of PERCENTAGE: added to each event."),
        "perEventMin": amount("Of PERCENTAGE: each event costs this at least."),
        "perEventMax": amount("Of PERCENTAGE: each event costs this at most."),
        "tiers": items("Bands of usage; the last one is open.", tier()),
        "limit": amount("Usage in a period beyond which ovBehavior decides."),
        "ovBehavior": choice("Beyond the limit.", OVERAGE, "CHARGE"),
        "rollover": rollover(),
        "billingTiming": choice("Usage is billed when its period is over.", ("ARREARS",), "ARREARS"),
        "dimensionPricing": dimension_pricing(),
        "taxCategory": text("What kind of thing it is, as tax rates name it."),
    }
    also = {"metric": "unit", "metricId": "unit", "overageRate": "rate", "flatFee": "flatRate"}
    also |= {"cap": "limit", "hardLimit": "limit"}
    named = text("The unit's name; beside metricId it says nothing.")
    needs = {"anyOf": [{"required": [name]} for name in ("unit", "metric", "metricId", "metricName")]}
    written = thing("A unit's price.", fields | {"metricName": named}, (), also)
    return {**written, **needs}


def tier() -> Schema:
    """Of one tier."""
    end = {**amount("The last unit in the band; -1 or none: open."), "minimum": -1}
    del end["pattern"]
    fields = {
        "upTo": end,
        "tierEnd": end,
        "tierStart": amount("Where the band before ends."),
        "unitPrice": amount("Per unit in the band."),
        "flatFee": amount("Once the band is reached."),
        "sortOrder": whole("The band's place.", 0, 10_000),
    }
    return thing("A band of usage.", fields, ["unitPrice"], {"unit_price": "unitPrice"})


def rollover() -> Schema:
    """`true`, or with a cap."""
    fields = {"enabled": flag("Off: nothing carries over.", True), "cap": amount("At most; none: all.")}
    return {"anyOf": [{"type": "boolean"}, thing("Unused free units carry over.", fields)]}


def dimension_pricing() -> Schema:
    """With a field, or in short."""
    fields = {"multiplier": amount("Times the price."), "price": amount("Instead of the price.")}
    value = {"anyOf": [amount("Times the price."), thing("What the value costs.", fields)]}
    values = {"type": "object", "additionalProperties": value}
    whole_form = thing(
        "A price for each value of a field.", {"field": text("Of the event."), "values": values}, ["values"]
    )
    return {"anyOf": [whole_form, values], "description": "Prices by a field of the event."}


def commitment() -> Schema:
    """Of read_commitment."""
    fields = {
        "type": choice("When it is settled.", COMMITMENTS),
        "amount": amount("What is agreed."),
        "trueUp": flag("Whether what is missing at the end is billed.", True),
        "overageFactor": amount("Prices beyond it are multiplied by this."),
        "termMonths": whole("How long it binds.", 1, 120),
    }
    return thing("Spend agreed beforehand.", fields, ["type", "amount"])


def rate_limit() -> Schema:
    """Of read_rate_limit."""
    fields = {
        "requests": whole("In a window.", 1, 1_000_000_000),
        "windowSeconds": whole("How long a window is.", 1, 2_678_400),
        "burst": whole("More at once.", 0, 1_000_000_000),
    }
    return thing("Requests let through.", fields, ["requests"])
