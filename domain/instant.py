"""Moments as they arrive. Put here: every timestamp form clients send. Keep out: periods, clocks.

A moment is a whole number of microseconds since 1970-01-01T00:00:00Z; finer digits are cut off.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Context, Decimal

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_MICROSECOND = timedelta(microseconds=1)
_EARLIEST = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // _MICROSECOND
_LATEST = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) // _MICROSECOND
_WIDE = Context(prec=60)
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,12}))?\s?(?:([Zz])|([+-]\d\d:?\d\d))?", re.ASCII
)
_EPOCH_MILLIS = re.compile(r"-?\d{1,17}(?:\.\d{1,12})?", re.ASCII)
_MOST_MILLIS = 10**16
_RIGHT = "send ISO 8601 such as 2026-01-31T23:59:59.123Z, or epoch milliseconds"


class NotAnInstant(ValueError):
    """The value is no moment; the message says what would be right. Turned into a refusal by the caller."""


def micros(moment: datetime) -> int:
    """Epoch microseconds of an aware datetime."""
    return (moment - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Epoch microseconds as a datetime in UTC."""
    return EPOCH + micros * _MICROSECOND


def to_micros_since_epoch(sent: object) -> int:
    """A timestamp as sent, in epoch microseconds. Raises NotAnInstant.

    Text: ISO 8601 with `T` or a space, up to twelve fractional digits, `Z` or an offset (none means UTC).
    Numbers (int, Decimal, or text that is only a number): epoch milliseconds, possibly fractional.
    """
    if isinstance(sent, str):
        return _from_text(sent.strip())
    if type(sent) is int and -_MOST_MILLIS < sent < _MOST_MILLIS:
        return _within(sent * 1000)
    if type(sent) is int or isinstance(sent, Decimal):
        return _from_millis(Decimal(sent))
    raise NotAnInstant(f"is not a time; {_RIGHT}")


def _from_text(text: str) -> int:
    match = _ISO.fullmatch(text)
    if match is None:
        if _EPOCH_MILLIS.fullmatch(text):
            return _from_millis(Decimal(text))
        raise NotAnInstant(f"is not a time; {_RIGHT}")
    day, clock, fraction, _, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{offset or '+00:00'}")
        seconds = (moment - EPOCH) // _MICROSECOND
    except (ValueError, OverflowError) as error:
        raise NotAnInstant(f"is not a time ({error}); {_RIGHT}") from None
    return _within(seconds + int((fraction or "0").ljust(6, "0")[:6]))


def _from_millis(millis: Decimal) -> int:
    if not millis.is_finite() or millis.adjusted() > 15:
        raise NotAnInstant(f"is out of range; {_RIGHT}")
    return _within(int((millis.scaleb(3, context=_WIDE)).to_integral_value(ROUND_FLOOR, context=_WIDE)))


def _within(moment: int) -> int:
    if not _EARLIEST <= moment < _LATEST:
        raise NotAnInstant(f"is out of range; {_RIGHT}")
    return moment


def iso(moment: int) -> str:
    """Epoch microseconds as ISO 8601 in UTC, for people: 2026-01-31T23:59:59.123456Z, zeros cut off."""
    text = (EPOCH + timedelta(microseconds=moment)).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return text + "Z"
