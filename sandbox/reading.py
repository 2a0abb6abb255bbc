"""Values of a scenario file. Put here: instants, lengths of time and the like, with their path in every complaint. Keep out: what a
scenario consists of (scenario.py)."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from domain.catalog.fields import DAY, FieldProblem, Fields, shown
from domain.instant import NotAnInstant, from_micros, to_micros_since_epoch

MONTH = re.compile(r"20[2-9][0-9]-(0[1-9]|1[0-2])")
LENGTH = re.compile(r"([0-9]+)(ms|s|m|h|d)")
_MICROS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


def instant(fields: Fields, name: str) -> datetime | None:
    """An ISO 8601 instant, UTC unless it says otherwise; a day is its first instant."""
    name, value = fields.raw(name)
    return None if value is None else moment(value, fields.at(name))


def moment(value: object, path: str) -> datetime:
    """Raises FieldProblem."""
    if isinstance(value, str) and DAY.fullmatch(value):
        value = f"{value}T00:00:00Z"
    try:
        return from_micros(to_micros_since_epoch(value))
    except NotAnInstant as error:
        raise FieldProblem(path, f"{shown(value)} {error}; write it like 2026-03-01T12:00:00Z") from None


def length(fields: Fields, name: str) -> int | None:
    """A length of time in microseconds, written like 90s, 6m, 2h, 10d."""
    name, value = fields.raw(name)
    if value is None:
        return None
    found = LENGTH.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise FieldProblem(
            fields.at(name), f"{shown(value)} is no length of time; write it like 90s, 6m, 2h or 10d"
        )
    return int(found[1]) * _MICROS[found[2]]  # fmt: skip


def month(value: object, path: str) -> str:
    """A billing month. Raises FieldProblem."""
    if not isinstance(value, str) or not MONTH.fullmatch(value):
        raise FieldProblem(path, f"{shown(value)} is not a month; write it like 2026-03")
    return value


def one_of(options: Collection[str], found: str, path: str, what: str) -> str:
    """Raises FieldProblem where `found` is not an option."""
    if found not in options:
        raise FieldProblem(path, f"{found!r} is no {what}; there are {', '.join(sorted(options))}")
    return found


def number(value: object, path: str) -> Decimal:
    """A quantity ≥ 0 with at most nine places. Raises FieldProblem."""
    found = Fields({"": value}, path).quantity("")
    if found is None:
        raise FieldProblem(path, "is missing; write a number")
    return found
