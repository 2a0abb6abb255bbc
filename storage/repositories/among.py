"""One of many. Put here: the condition that a column is one of a list of ids, or two are one of its pairs. Keep out: queries."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, any_, func, literal, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute


def among(column: InstrumentedAttribute[Any], ids: Collection[str]) -> ColumnElement[bool]:
    """Whether the column is one of these ids.

    One array parameter, not a parameter for each: PostgreSQL plans a repeated statement once for all values, and of
    hundreds of parameters it then makes as many comparisons with each row of the table.
    """
    return column == any_(literal(list(ids), ARRAY(Text)))


def among_pairs(
    first: InstrumentedAttribute[Any], second: InstrumentedAttribute[Any], pairs: Iterable[tuple[str, str]]
) -> ColumnElement[bool]:
    """Whether both columns together are one of these pairs. Two array parameters, whose elements PostgreSQL takes side by side."""
    firsts, seconds = zip(*pairs, strict=True) if (pairs := list(pairs)) else ((), ())
    sides = (func.unnest(literal(list(side), ARRAY(Text))) for side in (firsts, seconds))
    return tuple_(first, second).in_(select(*sides))
