"""What was expected, beside what came. Put here: comparing the two. Keep out: what comes (outcome.py).

One rule for all of it: an object says what it names, a list says all there is, in order. Numbers are compared as decimals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any


@dataclass(frozen=True)
class Unmet:
    """One expectation that was not met. path: where it stands in the scenario."""

    path: str
    expected: Any
    came: Any

    def __str__(self) -> str:
        return f"{self.path}: expected {_said(self.expected)}, came {_said(self.came)}"


def compare(expected: object, came: object, path: str) -> Iterator[Unmet]:
    """Each place where `came` is not as expected."""
    if isinstance(expected, Mapping):
        yield from _objects(expected, came, path)
    elif isinstance(expected, list):
        yield from _lists(expected, came, path)
    elif not _equal(expected, came):
        yield Unmet(path, expected, came)


def _objects(expected: Mapping[str, Any], came: object, path: str) -> Iterator[Unmet]:
    if not isinstance(came, Mapping):
        yield Unmet(path, expected, came)
        return
    for name, value in expected.items():
        place = f"{path}.{name}"
        if name in came:
            yield from compare(value, came[name], place)
        elif value not in (0, None):  # what is counted by name is not there while there is none
            known = ", ".join(map(str, came)) or "nothing"
            yield Unmet(place, value, f"nothing of this name; there are {known}")


def _lists(expected: list[Any], came: object, path: str) -> Iterator[Unmet]:
    if not isinstance(came, list):
        yield Unmet(path, expected, came)
        return
    if len(expected) != len(came):
        yield Unmet(path, f"{len(expected)} items", f"{len(came)}: {[_brief(each) for each in came]}")
        return
    for place, (one, other) in enumerate(zip(expected, came, strict=True)):
        yield from compare(one, other, f"{path}[{place}]")


def _equal(expected: object, came: object) -> bool:
    if isinstance(expected, bool) or isinstance(came, bool) or expected is None or came is None:
        return expected is came
    if isinstance(expected, int | Decimal):
        try:
            return Decimal(str(came)) == expected
        except InvalidOperation:
            return False
    return str(expected) == str(came)


_NAMES = ("customer", "month", "description", "code", "kind", "reason", "amount", "total", "balance")


def _brief(came: object) -> object:
    """An item as a message names it: by what tells it apart."""
    if not isinstance(came, Mapping):
        return came
    return " ".join(str(came[name]) for name in _NAMES if came.get(name) is not None)


def _said(value: object) -> str:
    return f"{value}" if isinstance(value, Decimal | str) else repr(value)
