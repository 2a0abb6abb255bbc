"""Reading a catalog as written. Put here: one field at a time, with its path in every complaint. Keep out: any one noun.

A complaint says where (`ratePlans[2].metrics[0].rate`), what is wrong, and what would be right. Binary floats are refused:
whoever decodes the file must hand numbers over as int, Decimal or text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from domain.errors import PermanentFailure

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_HALF = re.compile("[\ud800-\udfff]")
"""A lone surrogate: what a cut emoji leaves. No database takes it."""
PRICE_PLACES, PRICE_BELOW = 12, Decimal(10) ** 12
QUANTITY_PLACES, QUANTITY_BELOW = 9, Decimal(10) ** 17
T = TypeVar("T")


class FieldProblem(PermanentFailure):
    """One field is wrong. `path`: where it stands; `what`: what is wrong and what would be right."""

    code = "INVALID_FIELD"

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
        self.what = what


class TermsNotSupported(FieldProblem):
    """Terms this version cannot honour; taking them and billing otherwise would be worse."""

    code = "TERMS_NOT_SUPPORTED"

    def __init__(self, path: str, what: str) -> None:
        super().__init__(path, f"{what} is not supported yet; leave it out")


class Contradiction(FieldProblem):
    """What is asked for contradicts what is already agreed or recorded."""

    code = "CONTRADICTION"


class CatalogRefused(PermanentFailure):
    """Nothing was changed; `problems` says why, field by field."""

    code = "CATALOG_REFUSED"

    def __init__(self, problems: Collection[FieldProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class Fields:
    """An object as written, and where it stands. Each reader raises FieldProblem; `done` complains about leftovers."""

    def __init__(self, sent: object, path: str) -> None:
        if not isinstance(sent, Mapping):
            raise FieldProblem(path, f"{shown(sent)} is not an object; write fields and values")
        self._sent = sent
        self._read: set[str] = set()
        self._looked_for: set[str] = set()
        self.path = path

    def at(self, name: str) -> str:
        """The path of a field."""
        return f"{self.path}.{name}" if self.path and name else self.path or name

    def has(self, *names: str) -> bool:
        """Whether one of these fields carries a value."""
        self._looked_for.update(names)
        return any(self._sent.get(name) is not None for name in names)

    def raw(self, *names: str) -> tuple[str, object]:
        """The first of these fields that carries a value, and the value; the first name and None otherwise."""
        self._read.update(names)
        given = [name for name in names if self._sent.get(name) is not None]
        if len(given) > 1:
            raise FieldProblem(self.at(given[1]), f"says the same as {given[0]}; write one of them")
        return (given[0], self._sent[given[0]]) if given else (names[0], None)

    def text(self, *names: str) -> str:
        """Required text."""
        found = self.maybe_text(*names)
        if found is None:
            raise FieldProblem(self.at(names[0]), "is missing; write some text")
        return found

    def maybe_text(self, *names: str) -> str | None:
        name, value = self.raw(*names)
        if value is None:
            return None
        if isinstance(value, bool | float) or not isinstance(value, str | int | Decimal):
            raise FieldProblem(self.at(name), f"{shown(value)} is not text")
        found = str(value).strip()
        if not found or "\0" in found or len(found) > 512 or _HALF.search(found):
            what = "must have 1 to 512 characters, none of them NUL or half of one"
            raise FieldProblem(self.at(name), what)
        return found

    def key(self, *names: str) -> str:
        """A required identifier."""
        found = self.text(*names)
        if not KEY.fullmatch(found):
            right = "letters, digits and . _ : - only, at most 128, the first a letter or digit"
            raise FieldProblem(self.at(names[0]), f"{shown(found)} cannot be an identifier; use {right}")
        return found

    def choice(self, name: str, options: Collection[str], default: str | None = None, *aliases: str) -> str:
        """One of the options, in any case."""
        name, value = self.raw(name, *aliases)
        if value is None and default is not None:
            return default
        found = value.strip().upper() if isinstance(value, str) else None
        if found is None or found not in options:
            was = "is missing" if value is None else f"{shown(value)} is not known"
            raise FieldProblem(self.at(name), f"{was}; use one of {', '.join(options)}")
        return found

    def flag(self, name: str, default: bool = False) -> bool:
        name, value = self.raw(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise FieldProblem(self.at(name), f"{shown(value)} is not true or false")
        return value

    def whole(self, name: str, least: int, most: int) -> int | None:
        name, value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise FieldProblem(self.at(name), f"{shown(value)} is not a whole number from {least} to {most}")
        return value

    def price(self, *names: str) -> Decimal | None:
        """Money or a rate: at least 0, at most twelve decimal places."""
        return self._decimal(names, PRICE_PLACES, PRICE_BELOW)

    def quantity(self, *names: str) -> Decimal | None:
        """An amount of usage: at least 0, at most nine decimal places."""
        return self._decimal(names, QUANTITY_PLACES, QUANTITY_BELOW)

    def day(self, name: str) -> date | None:
        name, value = self.raw(name)
        if value is None:
            return None
        try:
            day = date.fromisoformat(value if isinstance(value, str) and DAY.fullmatch(value) else "")
        except ValueError:
            raise FieldProblem(self.at(name), f"{shown(value)} is not a day; write YYYY-MM-DD") from None
        if not 1900 <= day.year < 3000:
            raise FieldProblem(self.at(name), f"{day} is out of range; use a year from 1900 to 2999")
        return day

    def items(self, *names: str) -> list[tuple[str, object]]:
        """The path and value of each item of a list; none if the field is absent."""
        name, value = self.raw(*names)
        if value is None:
            return []
        if not isinstance(value, list):
            raise FieldProblem(self.at(name), f"{shown(value)} is not a list")
        return [(f"{self.at(name)}[{index}]", item) for index, item in enumerate(value)]

    def keys(self, name: str) -> tuple[str, ...]:
        """A list of identifiers."""
        return tuple(Fields({"": item}, path).key("") for path, item in self.items(name))

    def refuse(self, supported_later: Mapping[str, str]) -> None:
        """Complain about terms that cannot be honoured yet: field name to what it asks for."""
        for name, what in supported_later.items():
            _, value = self.raw(name)
            if value:
                raise TermsNotSupported(self.at(name), what)

    def done(self) -> None:
        """Complain about fields nobody read: a misspelt price must not be a free one."""
        for name in self._sent:
            if name not in self._read:
                known = ", ".join(sorted(self._read | self._looked_for))
                raise FieldProblem(self.at(str(name)), f"is not a field known here; known are {known}")

    def _decimal(self, names: tuple[str, ...], places: int, below: Decimal) -> Decimal | None:
        name, value = self.raw(*names)
        if value is None:
            return None
        if isinstance(value, bool | float) or not isinstance(value, str | int | Decimal):
            raise FieldProblem(self.at(name), f"{shown(value)} is not a decimal; write it like 0.0025")
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            raise FieldProblem(
                self.at(name), f"{shown(value)} is not a decimal; write it like 0.0025"
            ) from None
        if not number.is_finite() or not 0 <= number < below:
            raise FieldProblem(self.at(name), f"{shown(value)} must be at least 0 and below {below:f}")
        if not number:
            return Decimal(0)
        if int(number.as_tuple().exponent) < -places and number != round(number, places):
            raise FieldProblem(self.at(name), f"{shown(value)} has more than {places} decimal places")
        return number


def required(fields: Fields, name: str, value: T | None) -> T:
    """The value, or a complaint that the field is missing."""
    if value is None:
        raise FieldProblem(fields.at(name), "is missing")
    return value


def shown(value: object) -> str:
    """A value as a complaint quotes it."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "…"
