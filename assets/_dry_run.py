"""A dry run with what its gates say. Put here: judging tables that are never written. Keep out: working them out (storage)."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import polars as pl
from sqlalchemy.orm import Session

from expectations.admission import GateClosed, admit, broken_facts, said
from expectations.catalogue import suite_of
from storage.dry_run import dry_run
from storage.dry_run_report import report
from storage.lake import Lake
from storage.scope import Scope
from transforms.held_by_gate import BEFORE_RATE, NOBODY, held, held_before_rate, without


def judged_dry_run(session: Session, lake: Lake, scope: Scope) -> dict[str, Any]:
    """The scope's month as it would be billed now, as JSON; see `storage.dry_run_report.report`. Whom a gate would hold is held.
    Writes nothing."""
    assert scope.month is not None
    tables = dry_run(session, lake, scope)
    people, gates = _gates(lake, scope, tables)
    return report(scope.month, _as_billed(tables, people, scope.month), gates)


def _gates(
    lake: Lake, scope: Scope, tables: Mapping[str, pl.DataFrame]
) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Whom the gates would hold, and what each of them says."""
    everybody = Scope(None, scope.tenants, scope.customers)
    found, people, before = [], NOBODY, NOBODY
    for name, frame in tables.items():
        related = {
            other: tables[other].lazy() if other in tables else lake.scan(other, everybody)
            for other in suite_of(name).related
        }
        known = before if name in (*BEFORE_RATE, "rated_lines") else NOBODY
        try:
            admitted = admit(name, frame.lazy(), related, judge=partial(broken_facts, name), before=known)
        except GateClosed as closed:
            found.append({"table": name, "passed": False, "says": said(closed.broken)})
            continue
        found.append({"table": name, "passed": True, "says": said(admitted.broken) or None})
        people = pl.concat([people, admitted.people])
        before = pl.concat([before, admitted.people]) if name in BEFORE_RATE else before
    return people, found


def _as_billed(
    tables: Mapping[str, pl.DataFrame], people: pl.DataFrame, month: str
) -> Mapping[str, pl.DataFrame]:
    """The tables with these people held; a table may be of the time before."""
    if people.is_empty():
        return tables
    nobodys_lines = held_before_rate(tables["rated_lines"].clear(), people, month)
    unknown = nobodys_lines.join(tables["routed_lines"], on=["tenant_id", "customer_id"], how="anti")
    routed = pl.concat([tables["routed_lines"], unknown], how="diagonal")
    said_once = people.group_by("tenant_id", "customer_id").agg(
        pl.col("reason").unique().sort().str.join("; ")
    )
    return {
        **tables,
        "routed_lines": held("routed_lines", routed.lazy(), said_once).collect(),
        "settlements": without(tables["settlements"].lazy(), people).collect(),
    }
