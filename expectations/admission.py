"""Whether a table may be stored, and for whom. Put here: the one decision that bills, the sandbox and dry runs share. Keep out: how
rows are judged (gate.py, suite.py), whose rows they are (transforms.held_by_gate), storing.

A table that breaks its suite is not stored. Where the rows of some customers break it, these are held by name, and what is left is
judged again: only if that passes, the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from domain.errors import PermanentFailure
from expectations.catalogue import suite_of
from expectations.suite import Fact, Frames, find_facts
from transforms.held_by_gate import NOBODY, at_fault, ways, without

Judge = Callable[[pl.LazyFrame, Frames], Sequence[Fact]]
"""Given a table and its neighbours: the expectations that rows break."""


class GateClosed(PermanentFailure):
    """A table broke its suite, so it was not written."""

    code = "GATE_CLOSED"

    def __init__(self, table: str, broken: Sequence[Fact]) -> None:
        super().__init__(f"gate of {table}: {said(broken)}. Nothing was written.")
        self.broken = broken


@dataclass(frozen=True)
class Admitted:
    """A table as it may be stored. people: `tenant_id, customer_id, reason` of those the gate holds. broken: what the table broke as
    it was made."""

    rows: pl.LazyFrame
    people: pl.DataFrame
    broken: Sequence[Fact] = ()


def admit(name: str, rows: pl.LazyFrame, related: Frames, *, judge: Judge, before: pl.DataFrame) -> Admitted:
    """The table as it passes its gate. before: the people gates of earlier tables left out; their rows are not judged. Raises
    `GateClosed`."""
    broken = judge(without(rows, before), _without(related, before))
    if not broken:
        return Admitted(rows, NOBODY)
    people = at_fault(name, rows, [(fact.doc, fact.failing) for fact in broken], related)
    if people is None:
        raise GateClosed(name, broken)
    for kept, judged in ways(name, rows, people, related):
        unjudged = before if judged else pl.concat([before, people])
        if not judge(without(kept, unjudged), _without(related, unjudged)):
            return Admitted(kept, people, broken)
    raise GateClosed(name, broken)


def broken_facts(name: str, rows: pl.LazyFrame, related: Frames) -> list[Fact]:
    """A table's broken expectations, without a page for anybody to read."""
    return [fact for fact in find_facts(suite_of(name), rows, related).facts if fact.violations]


def said(broken: Sequence[Fact]) -> str:
    """Broken expectations in words."""
    return "; ".join(f"{fact.violations} rows do not {fact.doc} ({fact.name})" for fact in broken)


def _without(related: Frames, people: pl.DataFrame) -> Frames:
    return {name: without(frame, people) for name, frame in related.items()}
