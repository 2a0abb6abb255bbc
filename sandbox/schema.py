"""What a scenario file may say, as a JSON Schema for editors. Put here: scenarios, events, steps. Keep out: catalogs
(domain.catalog.schema), deciding (scenario.py does: what the schema lets pass may still be refused)."""

from __future__ import annotations

from typing import Any

from domain.catalog.schema import catalog_schema
from domain.catalog.schema_parts import (
    Schema,
    amount,
    choice,
    instant,
    items,
    keys,
    text,
    whole,
    words,
)
from sandbox.generated import MOST, SPREADS
from sandbox.reading import LENGTH, MONTH
from sandbox.steps import KINDS, Kind


def scenario_schema() -> Schema:
    """JSON Schema, draft 2020-12, of the whole file."""
    catalog = catalog_schema()
    definitions: dict[str, Any] = catalog.pop("$defs", {})
    for name in ("$schema", "$id", "title"):
        catalog.pop(name, None)
    definitions |= {"catalog": catalog, "event": _event(), "generate": _generate(), "step": _step()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A scenario of `aforo sandbox`",
        **_object(
            "A small world, and what happens in it.",
            {
                "name": text("What it shows, in a line."),
                "about": text("More of it."),
                "start": instant("When the world begins; unless said, when the first subscription does."),
                "batch": whole("How many events the gates take at once; all unless said.", 1, 10_000_000),
                "catalog": {
                    "description": "What `aforo apply` reads; a list of such for several tenants.",
                    "oneOf": [
                        {"$ref": "#/$defs/catalog"},
                        {"type": "array", "items": {"$ref": "#/$defs/catalog"}, "minItems": 1},
                    ],
                },
                "events": items("Usage, each with its time of receipt.", {"$ref": "#/$defs/event"}),
                "steps": items("What happens, in order of time.", {"$ref": "#/$defs/step"}),
                "expect": _expect(),
            },
            ("name", "catalog"),
        ),
        "$defs": definitions,
    }


def _object(says: str, fields: Schema, needs: tuple[str, ...] = (), *, more: bool = False) -> Schema:
    required = {"required": list(needs)} if needs else {}
    return {
        "type": "object",
        "description": says,
        "properties": fields,
        **required,
        "additionalProperties": more,
    }


def _expect() -> Schema:
    says = "What should come of it: an object says what it names, a list says all there is, in order."
    return {"type": "object", "description": says}


def _event() -> Schema:
    generated = _object("Many events.", {"generate": {"$ref": "#/$defs/generate"}}, ("generate",))
    own = {
        "tenant": text("Which of several tenants."),
        "receivedAt": instant("When we receive it; unless said, when it says it happened."),
        "backfill": text("An operator's reason for letting old events in."),
    }
    sent = _object("One event, as it is sent.", own, more=True)
    return {"if": {"required": ["generate"]}, "then": generated, "else": sent}


def _generate() -> Schema:
    length = {"type": "string", "pattern": f"^{LENGTH.pattern}$"}
    quantity = amount("Of each event; 1 unless said.")
    span = _object("Random ones, both ends included.", {"from": quantity, "to": quantity}, ("from", "to"))
    further = {"type": "object"}
    fields = {
        "tenant": text("Which of several tenants."),
        "customer": text("Whose usage …"),
        "customers": keys("… or of several, in turn."),
        "metric": text("The unit's key."),
        "unit": text("The same."),
        "metricName": text("The same."),
        "customerId": text("The same as customer."),
        "count": whole("How many.", 1, MOST),
        "quantity": {"description": "One, several in turn, or random ones.", "anyOf": [quantity, {"type": "array", "items": quantity}, span]},
        "from": instant("When the usage begins."),
        "to": instant("The first instant without usage."),
        "spread": choice("Evenly, or at random times.", SPREADS, "EVEN"),
        "seed": whole("What random choices follow from.", 0, 2**31),
        "with": {"description": "Further fields of the events, or a list of such in turn.", "anyOf": [further, {"type": "array", "items": further}]},
        "delay": {**length, "description": "Received so long after the usage: 90s, 6m, 2h, 10d."},
        "disorder": {**length, "description": "And a random part of this later."},
        "clockAhead": {**length, "description": "The sender's clock is ahead by so much."},
        "receivedAt": instant("All at once instead."),
        "duplicates": whole("How many are sent a second time.", 0, MOST),
        "conflicts": whole("How many keys are sent again with another quantity.", 0, MOST),
        "keys": text("What their keys begin with; unless said, their place in the file."),
    }  # fmt: skip
    return _object("Many events, the same for the same file.", fields, ("count", "from", "to"))


def _step() -> Schema:
    fields: Schema = {
        "at": instant("When; unless said, when the step before was, and for `bill` when production does it."),
        "tenant": text("Which of several tenants."),
        "fails": words("The code of the error it must end with.", "[A-Z_]+"),
        "note": text("Said in the story."),
        "expect": _expect(),
        "send": items("Send events, received now unless they say otherwise.", {"$ref": "#/$defs/event"}),
        "wait": {"type": "null", "description": "Let time pass."},
    }
    for name, kind in KINDS.items():
        fields[name] = _kind(kind)
    one = [{"required": [name]} for name in ("send", "wait", *KINDS)]
    return {**_object("One step.", fields), "oneOf": one}


def _kind(kind: Kind) -> Schema:
    fields: Schema = {name: {"description": says} for name, says in kind.fields.items()}
    if "month" in fields:
        fields["month"] = {
            "type": "string",
            "pattern": f"^{MONTH.pattern}$",
            "description": kind.fields["month"],
        }
    further = f" Further fields: {kind.body}." if kind.body else ""
    written = _object(kind.says + further, fields, kind.needs, more=kind.body is not None)
    if kind.short is None:
        return written
    return {"anyOf": [{"type": "string", "description": f"The {kind.short}."}, written]}
