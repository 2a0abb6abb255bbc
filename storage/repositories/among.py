"""One of many. Put here: the condition that a column is one of a list of ids. Keep out: queries."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, any_, literal
from sqlalchemy.orm import InstrumentedAttribute


def among(column: InstrumentedAttribute[Any], ids: Collection[str]) -> ColumnElement[bool]:
    """Whether the column is one of these ids.

    One array parameter, not a parameter for each: PostgreSQL plans a repeated statement once for all values, and of
    hundreds of parameters it then makes as many comparisons with each row of the table.
    """
    return column == any_(literal(list(ids), ARRAY(Text)))
