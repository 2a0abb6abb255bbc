"""JSON with exact numbers. Put here: decoding what clients send, and writing it. Keep out: what it means."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, DecimalException
from typing import Any, NoReturn

import msgspec

from domain import usage

HALF_A_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")
"""An escaped surrogate. Clients that cut texts in the middle of an emoji send single ones: valid JSON by the letter,
but no Unicode, so that fast decoders refuse the document as a whole."""

_SPACE = re.compile(r"[ \t\n\r]*")


def _exact(text: str) -> Decimal | str:
    """A JSON number with all its digits; one beyond any exponent stays text and is refused as a quantity."""
    try:
        return Decimal(text)
    except DecimalException:
        return text


decode = msgspec.json.Decoder(float_hook=_exact).decode
"""JSON, text or bytes, with numbers as int or Decimal. Raises ValueError, and RecursionError for bottomless nesting."""

encode = msgspec.json.Encoder(decimal_format="number").encode
"""Decimals as numbers with all their digits."""
canonical = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode
"""`encode`, and the same text for the same content, whatever the order of its fields."""
_in_order = msgspec.json.Encoder(order="deterministic").encode


def told(fields: Any) -> str:
    """What `domain.usage.canonical` writes, sooner."""
    text = _in_order(fields)
    if text.isascii() and b"\x7f" not in text:  # what that writes otherwise
        return text.decode()
    return usage.canonical(fields)


def split_array(text: str, name: str) -> list[str] | None:
    """The elements of the array `name` in a JSON object, each as its own text; None: the object has no such member.

    Slow, and forgiving about half characters. Raises ValueError, RecursionError, and TypeError where it is no array.
    """
    whole = json.loads(text, parse_constant=_no_constant)
    if not isinstance(whole, dict):
        raise ValueError("it is not an object")
    if name not in whole:
        return None
    if not isinstance(whole[name], list):
        raise TypeError(f"{name} is not a list")
    start = [at for key, at, _ in _members(text, _past_space(text, 0)) if key == name][-1]
    return [text[at:end] for _, at, end in _members(text, start)]


def _members(text: str, at: int) -> Iterator[tuple[Any, int, int]]:
    """(key, start, end) of each value in the valid object or array that begins at `at`; keys are None in arrays."""
    scan = json.JSONDecoder().raw_decode
    is_object = text[at] == "{"
    at = _past_space(text, at + 1)
    while text[at] not in "}]":
        key = None
        if is_object:
            key, at = scan(text, at)
            at = _past_space(text, _past_space(text, at) + 1)
        _, end = scan(text, at)
        yield key, at, end
        at = _past_space(text, end)
        if text[at] == ",":
            at = _past_space(text, at + 1)


def _past_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
