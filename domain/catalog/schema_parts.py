"""Pieces of a JSON Schema. Put here: one field's shape as `Fields` reads it. Keep out: which fields a noun has (schema.py)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from domain.catalog.fields import DAY, KEY
from domain.money import EXPONENTS

Schema = dict[str, Any]
CURRENCY: Schema = {"$ref": "#/$defs/currency"}
DEFINITIONS = {"currency": {"enum": sorted(EXPONENTS), "description": "ISO 4217."}}
"""What is long and said often, once."""
_DECIMAL = r"^[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?$"
_LONGEST_TEXT = 512


def text(says: str, **more: Any) -> Schema:
    """Numbers are taken as text too: `version: 2`."""
    return {"type": ["string", "number"], "maxLength": _LONGEST_TEXT, "description": says, **more}


def words(says: str, pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^(?:{pattern})$", "description": says}


def key(says: str) -> Schema:
    return {"type": ["string", "integer"], "pattern": f"^{KEY.pattern}$", "description": says}


def choice(says: str, options: Collection[str], default: str | None = None) -> Schema:
    usual = {} if default is None else {"default": default}
    return {"enum": list(options), "description": says, **usual}


def flag(says: str, default: bool = False) -> Schema:
    return {"type": "boolean", "description": says, "default": default}


def whole(says: str, least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most, "description": says}


def amount(says: str) -> Schema:
    """A decimal, as a number or (for tools that would round it) as text."""
    return {"type": ["number", "string"], "minimum": 0, "pattern": _DECIMAL, "description": says}


def day(says: str) -> Schema:
    return words(says, DAY.pattern)


def instant(says: str) -> Schema:
    return {"type": ["string", "integer"], "description": f"{says} ISO 8601, UTC unless it says otherwise."}


def items(says: str, of: Schema) -> Schema:
    return {"type": "array", "items": of, "description": says}


def keys(says: str) -> Schema:
    return items(says, key("An identifier."))


def anything(says: str) -> Schema:
    return {"type": "object", "description": says}


def thing(
    says: str,
    fields: Mapping[str, Schema],
    needs: Collection[str] = (),
    also: Mapping[str, str] | None = None,
) -> Schema:
    """An object with these fields and no others. also: other spellings, and the fields they mean."""
    spelled = also or {}
    spellings = {
        other: {**fields[name], "description": f"The same as {name}."} for other, name in spelled.items()
    }
    required = [name for name in needs if name not in spelled.values()]
    either = [
        {"anyOf": [{"required": [word]} for word in (name, *_others(name, spelled))]}
        for name in needs
        if name in spelled.values()
    ]
    return {
        "type": "object",
        "description": says,
        "properties": {**fields, **spellings},
        "additionalProperties": False,
        **({"required": required} if required else {}),
        **({"allOf": either} if either else {}),
    }


def _others(name: str, spelled: Mapping[str, str]) -> list[str]:
    return [other for other, meant in spelled.items() if meant == name]


ZONE = text("A name of the IANA time zone database, such as Europe/Madrid.")
NAME = text("What people see; default: the identifier.")
ABOUT = text("A sentence about it.")
METADATA = anything("Whatever you keep beside it.")
COLOR = words("Such as '#1A2B3C'.", "#[0-9A-Fa-f]{6}")
LINK = words("A link.", r"https?://\S+")
COUNTRY = words("ISO 3166, two letters.", "[A-Za-z]{2}")
ADDRESS = thing(
    "A postal address.",
    {name: text("A part of the address.") for name in ("line1", "line2", "city", "region", "postalCode")}
    | {"country": COUNTRY},
    also={"state": "region", "countryCode": "country"},
)
