"""Lists a page at a time. Put here: which page is wanted, and fetching it. Keep out: HTTP, any one noun.

A page is found by the last row before it (its cursor), not by counting rows, so page one thousand costs what page one costs.
Page numbers work too, for clients that only know those.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from domain.catalog.fields import FieldProblem

Column = InstrumentedAttribute[Any] | ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which page: number `page` (from 0) of `size` rows, or the one after `cursor`. sort: `field` or `field,desc`."""

    page: int = 0
    size: int = 50
    cursor: str | None = None
    sort: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some items as JSON objects, how many there are in all, and where the next page begins (None: there is none)."""

    items: Sequence[Mapping[str, Any]]
    total: int
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class _Order:
    """By `column` and, where that is equal, by `tie`; both in one direction, so that one comparison finds the place."""

    name: str
    column: Column
    tie: Column
    is_descending: bool

    def of(self, query: Select[Any]) -> Select[Any]:
        both = (self.column, self.tie)
        return query.order_by(*(each.desc() if self.is_descending else each.asc() for each in both))


def keyset(
    session: Session, query: Select[Any], columns: Mapping[str, Column], page: PageQuery
) -> tuple[list[Any], int, str | None]:
    """The rows of a page, how many rows there are in all, and the cursor of the next page.

    query: selects one entity, with its conditions and no order. columns: what may be sorted by (wire name to NOT NULL column);
    the first is the default order (write `-name` for descending), the last must be unique and breaks ties. The rows and the
    total are of one instant for a page number; with a cursor the total is the one counted for the first page.
    Raises FieldProblem for `sort` or `cursor`.
    """
    order = _order(columns, page.sort)
    mark = _mark(query, order)
    total: int | None = None
    passed = page.page * page.size
    if page.cursor is not None:
        total, after = _read_cursor(page.cursor, mark)
        query_page = query.where(_beyond(order, after))
    else:
        query_page = query.where(_from(query, order, passed)) if passed else query
    found = list(session.scalars(order.of(query_page).limit(page.size + 1)))
    if total is None and len(found) <= page.size and (found or not passed):
        total = passed + len(found)  # this is the last page, so nothing is left to be counted
    if total is None:
        total = session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    if len(found) <= page.size:
        return found, total, None
    found.pop()
    return found, total, _cursor(order, found[-1], total, mark)


def contains(column: Column, part: str) -> ColumnElement[bool]:
    """Whether the text contains the part, in any case; % and _ in it mean themselves."""
    return column.icontains(part, autoescape=True)


def _order(columns: Mapping[str, Column], sort: str | None) -> _Order:
    names = [name.removeprefix("-") for name in columns]
    by_name = dict(zip(names, columns.values(), strict=True))
    default = next(iter(columns))
    wanted, _, direction = (sort or f"{names[0]},{'desc' if default.startswith('-') else 'asc'}").partition(
        ","
    )
    if wanted not in by_name or direction.lower() not in ("", "asc", "desc"):
        right = ", ".join(names)
        raise FieldProblem(
            "sort", f"{sort!r} is no order; use one of {right}, and ,desc for the other direction"
        )
    return _Order(wanted, by_name[wanted], by_name[names[-1]], direction.lower() == "desc")


def _beyond(order: _Order, after: list[Any]) -> ColumnElement[bool]:
    here = tuple_(order.column, order.tie)
    place = tuple_(
        *(_typed(column, value) for column, value in zip((order.column, order.tie), after, strict=True))
    )
    return here < place if order.is_descending else here > place


def _from(query: Select[Any], order: _Order, passed: int) -> ColumnElement[bool]:
    """From the row after so many on. Finding that row first lets an index pass by the others without reading them."""
    first = order.of(query.with_only_columns(order.column, order.tie, maintain_column_froms=True))
    here, place = tuple_(order.column, order.tie), first.offset(passed).limit(1).scalar_subquery()
    return here <= place if order.is_descending else here >= place


def _typed(column: Column, value: Any) -> Any:
    kind = column.type.python_type
    try:
        if kind is datetime:
            return datetime.fromisoformat(value)
        return kind(value)
    except (TypeError, ValueError, ArithmeticError):
        raise _stale() from None


def _cursor(order: _Order, row: Any, total: int, mark: str) -> str:
    place = [_written(getattr(row, column.key or "")) for column in (order.column, order.tie)]
    return base64.urlsafe_b64encode(json.dumps([mark, total, place]).encode()).decode().rstrip("=")


def _read_cursor(cursor: str, mark: str) -> tuple[int, list[Any]]:
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        made_for, total, after = json.loads(text)
    except (binascii.Error, ValueError, TypeError):
        raise _stale() from None
    if made_for != mark or not isinstance(total, int) or not isinstance(after, list) or len(after) != 2:
        raise _stale()
    if any("\0" in value for value in after if isinstance(value, str)):
        raise _stale()
    return total, after


def _stale() -> FieldProblem:
    return FieldProblem(
        "cursor", "is not one this list gave out, for these filters and this order; start without it"
    )


def _mark(query: Select[Any], order: _Order) -> str:
    """Tells lists apart: a cursor is good for the filters and the order it was made with."""
    compiled = query.compile()
    text = f"{compiled}|{sorted((k, str(v)) for k, v in compiled.params.items())}|{order.name}|{order.is_descending}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
