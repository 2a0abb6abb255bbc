"""Details many nouns carry: address, currency, time zone, e-mail, links, metadata. Put here: reading and writing one of them.
Keep out: nouns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from domain.catalog.fields import FieldProblem, Fields, shown
from domain.money import EXPONENTS
from domain.period import UnknownTimeZone, zone

COUNTRY = re.compile(r"[A-Z]{2}")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
LINK = re.compile(r"https?://[^\s]+")
METADATA_FIELDS, METADATA_DEPTH, METADATA_SIZE = 64, 4, 8192


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address. country: ISO 3166 alpha-2. Any part may be unknown."""

    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    region: str | None = None
    postal_code: str | None = None
    country: str | None = None


def read_address(fields: Fields, name: str = "address") -> Address | None:
    """Raises FieldProblem."""
    _, sent = fields.raw(name)
    if sent is None:
        return None
    inner = Fields(sent, fields.at(name))
    address = Address(
        line1=inner.maybe_text("line1"),
        line2=inner.maybe_text("line2"),
        city=inner.maybe_text("city"),
        region=inner.maybe_text("region", "state"),
        postal_code=inner.maybe_text("postalCode"),
        country=country(inner, "country", "countryCode"),
    )
    inner.done()
    return address


def written_address(address: Address | None) -> dict[str, Any] | None:
    """As it is read."""
    if address is None:
        return None
    return without_none(
        {
            "line1": address.line1,
            "line2": address.line2,
            "city": address.city,
            "region": address.region,
            "postalCode": address.postal_code,
            "country": address.country,
        }
    )


def country(fields: Fields, *names: str) -> str | None:
    found = fields.maybe_text(*names)
    if found is not None and not COUNTRY.fullmatch(found.upper()):
        raise FieldProblem(
            _written_as(fields, *names), f"{shown(found)} is not a country; write two letters such as 'DE'"
        )
    return found.upper() if found else None


def currency(fields: Fields, name: str, default: str | None = None, *aliases: str) -> str:
    """An ISO 4217 code, in any case."""
    code = fields.maybe_text(name, *aliases) or default
    if code is None or code.upper() not in EXPONENTS:
        was = "is missing" if code is None else f"{shown(code)} is not an ISO 4217 code"
        raise FieldProblem(_written_as(fields, name, *aliases), f"{was}; use three letters such as 'USD'")
    return code.upper()


def maybe_currency(fields: Fields, name: str) -> str | None:
    _, found = fields.raw(name)
    return None if found is None else currency(fields, name)


def maybe_key(fields: Fields, *names: str) -> str | None:
    _, found = fields.raw(*names)
    return None if found is None else fields.key(*names)


def time_zone(fields: Fields, default: str, name: str = "timeZone", *aliases: str) -> str:
    """A name of the IANA database."""
    found = fields.maybe_text(name, *aliases) or default
    try:
        zone(found)
    except UnknownTimeZone as error:
        raise FieldProblem(_written_as(fields, name, *aliases), str(error)) from None
    return found


def email(fields: Fields, name: str = "email") -> str | None:
    found = fields.maybe_text(name)
    if found is not None and not EMAIL.fullmatch(found):
        raise FieldProblem(fields.at(name), f"{shown(found)} is not an e-mail address")
    return found


def link(fields: Fields, name: str) -> str | None:
    found = fields.maybe_text(name)
    if found is not None and not LINK.fullmatch(found):
        raise FieldProblem(fields.at(name), f"{shown(found)} is not a link; begin it with https://")
    return found


def metadata(fields: Fields, name: str = "metadata") -> dict[str, Any]:
    """What the caller keeps beside a noun: a JSON object, a few kilobytes; decimals become exact text."""
    _, sent = fields.raw(name)
    if sent is None:
        return {}
    if not isinstance(sent, Mapping):
        raise FieldProblem(fields.at(name), f"{shown(sent)} is not an object; write fields and values")
    if len(sent) > METADATA_FIELDS or len(str(sent)) > METADATA_SIZE:
        limit = f"at most {METADATA_FIELDS} fields and {METADATA_SIZE} characters"
        raise FieldProblem(fields.at(name), f"is too much; keep {limit} here")
    return {str(key): _plain(value, f"{fields.at(name)}.{key}", 1) for key, value in sent.items()}


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that carry a value."""
    return {name: value for name, value in values.items() if value is not None}


def _written_as(fields: Fields, *names: str) -> str:
    """The path of the spelling that was used."""
    return fields.at(next((name for name in names if fields.has(name)), names[0]))


def _plain(value: object, path: str, depth: int) -> Any:
    if depth > METADATA_DEPTH:
        raise FieldProblem(path, f"is nested more than {METADATA_DEPTH} levels deep; keep it flatter")
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, f"{path}.{key}", depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, f"{path}[{index}]", depth + 1) for index, inner in enumerate(value)]
    if isinstance(value, str) and ("\0" in value or (not value.isascii() and not _is_unicode(value))):
        raise FieldProblem(path, "holds characters that are no text")
    if isinstance(value, Decimal):
        return format(value, "f") if abs(value.adjusted()) < 100 else str(value)
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
