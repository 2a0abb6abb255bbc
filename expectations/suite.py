"""What must hold of a table. Put here: the shape of a suite and the facts it comes to. Keep out: Great Expectations (gate.py).

A suite has a structural half, made from the table's description (no nulls where none may be, keys unique, row rules), and
cross-checks written beside it: facts about the whole table, or about it and its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from transforms.frames import TABLES, WHOLE, Table

Frames = Mapping[str, pl.LazyFrame]
SAMPLE = 20


@dataclass(frozen=True)
class Cross:
    """A fact beyond single rows: `failing` yields the rows that break it. `doc` completes "the table must …"."""

    name: str
    doc: str
    failing: pl.LazyFrame


@dataclass(frozen=True)
class Suite:
    """All expectations of one asset. `crosses(frame, related)` may be absent; `related` names the tables it needs."""

    asset: str
    related: tuple[str, ...] = ()
    crosses: Callable[[pl.LazyFrame, Frames], list[Cross]] | None = None

    @property
    def table(self) -> Table:
        return TABLES[self.asset]


@dataclass(frozen=True)
class Fact:
    """One expectation's outcome: how many rows break it, and some of them. failing: all of them, where they are rows."""

    name: str
    doc: str
    violations: int
    sample: pl.DataFrame
    failing: pl.LazyFrame | None = None


@dataclass(frozen=True)
class Facts:
    """What a suite found in a table."""

    rows: int
    facts: tuple[Fact, ...]


def find_facts(suite: Suite, frame: pl.LazyFrame, related: Frames) -> Facts:
    """Run every expectation as an expression. Cost: one pass over the table for the row rules, one for the key."""
    table = suite.table
    missing = [name for name in table.schema if name not in frame.collect_schema().names()]
    if missing:
        return Facts(
            0,
            (
                Fact(
                    "columns_complete", f"have the columns {', '.join(missing)}", len(missing), pl.DataFrame()
                ),
            ),
        )
    required = [column.name for column in table.columns if not column.nullable]
    empty = pl.any_horizontal(pl.col(name).is_null() for name in required)
    broken = {"required_columns_filled": (f"have a value in {', '.join(required)}", empty)}
    broken |= {rule.name: (rule.doc, ~rule.holds.fill_null(False)) for rule in table.rules}
    counted = frame.select(
        pl.len().alias("rows"), *(expr.sum().alias(name) for name, (_, expr) in broken.items())
    ).collect(engine="streaming")
    counts = counted.row(0, named=True)
    facts = [
        Fact(
            name,
            doc,
            counts[name],
            frame.filter(expr).head(SAMPLE).collect() if counts[name] else table.empty(),
            frame.filter(expr),
        )
        for name, (doc, expr) in broken.items()
    ]
    crosses = [Cross("key_unique", f"hold each {', '.join(table.key)} once", repeated(frame, table.key))]
    crosses += suite.crosses(frame, related) if suite.crosses else []
    facts += [_cross_fact(cross) for cross in crosses]
    return Facts(counts["rows"], tuple(facts))


def repeated(frame: pl.LazyFrame, key: tuple[str, ...]) -> pl.LazyFrame:
    """Keys that stand more than once. A whole number in the key is looked at first, alone and sorted: among ten million rows that
    leaves next to nothing that must be compared, and the texts of the others are never read."""
    number = next((name for name in key if frame.collect_schema()[name] == WHOLE), None)
    frame = frame.select(key)
    if number is not None:
        numbers = frame.select(number).collect(engine="streaming")[number].sort()
        twice = numbers.filter(numbers.eq_missing(numbers.shift())).unique()
        frame = (
            frame.filter(pl.col(number).is_in(twice.implode(), nulls_equal=True))
            if len(twice)
            else frame.clear()
        )
    return frame.group_by(*key).agg(times=pl.len()).filter(pl.col("times") > 1)


def _cross_fact(cross: Cross) -> Fact:
    failing = cross.failing.collect(engine="streaming")  # what holds is never in memory as a whole
    return Fact(cross.name, cross.doc, failing.height, failing.head(SAMPLE), failing.lazy())
