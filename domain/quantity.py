"""Quantities of usage as they arrive. Put here: reading and writing exact amounts. Keep out: money, rounding of prices.

A quantity is an exact decimal with nine places, below 10^17; more places are rounded half to even at the door.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, DecimalException

PLACES = 9
LIMIT = Decimal(10) ** 17
MICRO = 1_000_000
"""Counters in hot state are whole numbers of millionths of a unit."""

_STEP = Decimal(1).scaleb(-PLACES)
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_LIMIT_EXPONENT = 17
_WHOLE_LIMIT = 10**_LIMIT_EXPONENT
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
_LONGEST = 120


class NotAQuantity(ValueError):
    """The value is no number within the limits; the message says what would be right. Turned into a refusal."""


def to_quantity(sent: object) -> Decimal:
    """A number as sent -- int, Decimal or numeric text -- as an exact quantity. Raises NotAQuantity.

    Booleans, NaN, infinities and empty text are no numbers. Binary floats neither: decode JSON into Decimals.
    """
    if type(sent) is int:
        if -_WHOLE_LIMIT < sent < _WHOLE_LIMIT:
            return Decimal(sent)
        raise NotAQuantity("is out of range; quantities are below 10^17")
    if isinstance(sent, str):
        number = _from_text(sent)
    elif isinstance(sent, Decimal):
        number = sent
    else:
        raise NotAQuantity("is not a number; send a decimal such as 12 or 0.5")
    return _bounded(number)


def _from_text(sent: str) -> Decimal:
    text = sent.strip()
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        raise NotAQuantity("is not a number; send a decimal such as 12 or 0.5")
    return Decimal(text)


def _bounded(number: Decimal) -> Decimal:
    if not number.is_finite():
        raise NotAQuantity("is not a finite number; send a decimal such as 12 or 0.5")
    if not number:
        return Decimal(0)
    # The exponent is looked at first: spelling out 1e999999999 would take a gigabyte.
    if number.adjusted() >= _LIMIT_EXPONENT:
        raise NotAQuantity("is out of range; quantities are below 10^17")
    try:
        kept = number.quantize(_STEP, context=_EXACT)
    except DecimalException:
        raise NotAQuantity("has too many digits; nine decimal places are kept") from None
    if abs(kept) >= LIMIT:
        raise NotAQuantity("is out of range; quantities are below 10^17")
    return kept


def plain(quantity: Decimal) -> str:
    """The quantity as plain text without exponent or needless zeros: one text for each value."""
    text = str(quantity)
    if "E" in text:
        text = format(quantity, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def to_micros(quantity: Decimal) -> int:
    """Whole millionths of a unit, half to even."""
    return int(quantity.scaleb(6, context=_EXACT).to_integral_value(ROUND_HALF_EVEN, context=_EXACT))
