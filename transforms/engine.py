"""Where lazy frames become rows. Put here: collecting, and small frames for an engine. Keep out: rules.

Tests run the Polars way only; the other branches show what another engine has to be given, and are not known to work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import narwhals as nw
import polars as pl

Events = nw.LazyFrame[Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Parts:
    """A table that is worked out part by part, so that it need never be in memory as a whole."""

    frames: Iterable[pl.DataFrame]


def ahead(parts: Iterable[T]) -> Iterator[T]:
    """The same, each read or worked out while whoever takes them is busy with the one before: files are written by one core."""
    coming = iter(parts)
    with ThreadPoolExecutor(1) as worker:
        following = worker.submit(next, coming, None)
        while (part := following.result()) is not None:
            following = worker.submit(next, coming, None)
            yield part
            del part  # not held while the next one is waited for


def collected(events: Events, *, from_files: bool = False) -> pl.DataFrame:
    """The rows as Polars. Sorted running sums are twice as fast in Polars' in-memory engine as in its streaming one; reading files
    is twice as fast in the streaming one."""
    native = nw.to_native(events)
    if isinstance(native, pl.LazyFrame):
        return native.collect(engine="streaming" if from_files else "in-memory")
    frame: pl.DataFrame = events.collect().to_polars()
    return frame


def once(events: Events) -> Events:
    """The events worked out now, because more than one rule will ask for them. Other engines see to that themselves."""
    if not events.implementation.is_polars():
        return events
    found: Events = nw.from_native(collected(events).lazy())
    return found


def read(events: Events) -> Events:
    """`once` for what is read from files: each column in one piece, since gathering rows from forty takes three times as long."""
    if not events.implementation.is_polars():
        return events
    found: Events = nw.from_native(collected(events, from_files=True).rechunk().lazy())
    return found


def beside(events: Events, small: pl.DataFrame) -> Events:
    """A small frame as a lazy frame of the engine the events live in, ready to be joined."""
    if events.implementation.is_polars():
        return nw.from_native(small.lazy())
    session = nw.to_native(events).sparkSession
    moved: Events = nw.from_native(session.createDataFrame(small.to_pandas()))
    return moved


def looked_up(events: Events, small: pl.DataFrame, *, at: str) -> Events:
    """The events, in their order, with the columns of the small frame's row number `at`; nulls where `at` is null.

    On Polars only the new columns take memory: what the events have is not moved, as it would be by a join.
    """
    if not events.implementation.is_polars():
        return events.join(beside(events, small.with_row_index(at)), on=at, how="left")
    frame = collected(events)
    found: Events = nw.from_native(frame.hstack(small.select(pl.all().gather(frame[at]))).lazy())
    return found


def running(events: Events, values: Mapping[str, nw.Expr], *, over: str, order_by: str) -> Events:
    """The events with values that run over all events of the same `over`. They must be in order of both: then Polars need not order
    each run again, which takes twice as long as the values themselves."""
    if not events.implementation.is_polars():
        return events.with_columns(
            expr.over(over, order_by=order_by).alias(name) for name, expr in values.items()
        )
    frame = nw.from_native(collected(events), eager_only=True)
    return frame.with_columns(expr.over(over).alias(name) for name, expr in values.items()).lazy()


def row_by_row(events: Events, small: pl.DataFrame, expr: nw.Expr, *, at: str, name: str) -> Events:
    """The events, in their order, with a column worked out of each and the small frame's row number `at`.

    On Polars a piece at a time, so that the small frame's columns are never as long as the events.
    """
    if not events.implementation.is_polars():
        return looked_up(events, small, at=at).with_columns(expr.alias(name)).drop(*small.columns)
    frame = collected(events)
    rows = frame.lazy().join(small.with_row_index(at).lazy(), on=at, how="left", maintain_order="left")
    column: nw.LazyFrame[pl.LazyFrame] = nw.from_native(rows).select(expr.alias(name))
    worked_out: Events = nw.from_native(frame.hstack(column.to_native().collect(engine="streaming")).lazy())
    return worked_out
