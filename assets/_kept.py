"""How a table gets from an asset into the lake. Put here: the way bills and the sandbox share, through its gate. Keep out: the gate's
decision (expectations.admission), whether there is a page to read about it."""

from dataclasses import dataclass

import polars as pl

from expectations.admission import Admitted, Judge, admit
from expectations.catalogue import suite_of
from storage.gate_holds import keep_left_out, left_out
from storage.lake import Lake
from storage.scope import Scope
from transforms.engine import Parts
from transforms.frames import TABLES
from transforms.held_by_gate import BEFORE_RATE, NOBODY, REMEMBERED


@dataclass(frozen=True)
class Kept:
    """What was stored, lazily, and what its gate said."""

    rows: pl.LazyFrame
    admitted: Admitted


def keep(lake: Lake, name: str, made: pl.DataFrame | Parts, scope: Scope, judge: Judge) -> Kept:
    """Put a table in place of the scope's rows, if it passes its gate; whom the gate leaves out, the lake knows from then on. Raises
    `GateClosed`; then nothing is written."""
    related = {other: lake.scan(other, scope) for other in suite_of(name).related}
    before = NOBODY
    if name in (*BEFORE_RATE, "rated_lines"):
        before = left_out(lake, scope, [each for each in BEFORE_RATE if each != name])
    found: list[Admitted] = []

    def approve(rows: pl.LazyFrame) -> pl.LazyFrame | None:
        admitted = admit(name, rows, related, judge=judge, before=before)
        found.append(admitted)
        # Whom to hold is known before the rows are missing, whatever happens in between.
        if not admitted.people.is_empty() and name in REMEMBERED:
            keep_left_out(lake, scope, name, admitted.people)
        return None if admitted.people.is_empty() else admitted.rows

    if isinstance(made, Parts):
        lake.replace_parts(name, made.frames, scope, approve)
        kept = lake.scan(name, scope)
    else:
        frame = TABLES[name].conform(made)
        changed = approve(frame.lazy())
        frame = frame if changed is None else TABLES[name].conform(changed.collect())
        lake.replace(name, frame, scope)
        kept = frame.lazy()
    if name in REMEMBERED:
        keep_left_out(lake, scope, name, found[-1].people)
    return Kept(kept, found[-1])
