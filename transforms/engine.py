"""Where lazy frames become rows. Put here: collecting, and small frames for an engine. Keep out: rules."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import polars as pl

Events = nw.LazyFrame[Any]


def collected(events: Events) -> pl.DataFrame:
    """The rows as Polars. Sorted running sums are twice as fast in Polars' in-memory engine as in its streaming one."""
    native = nw.to_native(events)
    if isinstance(native, pl.LazyFrame):
        return native.collect(engine="in-memory")
    frame: pl.DataFrame = events.collect().to_polars()
    return frame


def once(events: Events) -> Events:
    """The events worked out now, because more than one rule will ask for them. Other engines see to that themselves."""
    if not events.implementation.is_polars():
        return events
    found: Events = nw.from_native(collected(events).lazy())
    return found


def beside(events: Events, small: pl.DataFrame) -> Events:
    """A small frame as a lazy frame of the engine the events live in, ready to be joined."""
    if events.implementation.is_polars():
        return nw.from_native(small.lazy())
    session = nw.to_native(events).sparkSession
    moved: Events = nw.from_native(session.createDataFrame(small.to_pandas()))
    return moved


def alongside(events: Events, small: pl.DataFrame, *, on: str) -> Events:
    """The events, in their order, with the columns of the small frame's row of the same `on`."""
    if not events.implementation.is_polars():
        return events.join(beside(events, small), on=on, how="inner")
    native: pl.LazyFrame = nw.to_native(events)
    joined: Events = nw.from_native(native.join(small.lazy(), on=on, how="left", maintain_order="left"))
    return joined
