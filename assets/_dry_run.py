"""A dry run with what its gates say. Put here: judging tables that are never written. Keep out: working them out (storage)."""

from collections.abc import Mapping
from typing import Any

import polars as pl
from sqlalchemy.orm import Session

from expectations.catalogue import suite_of
from expectations.suite import find_facts
from storage.dry_run import dry_run
from storage.dry_run_report import report
from storage.lake import Lake, Scope


def judged_dry_run(session: Session, lake: Lake, scope: Scope) -> dict[str, Any]:
    """The scope's month as it would be billed now, as JSON; see `storage.dry_run_report.report`. Writes nothing."""
    assert scope.month is not None
    tables = dry_run(session, lake, scope)
    return report(scope.month, tables, _gates(lake, scope, tables))


def _gates(lake: Lake, scope: Scope, tables: Mapping[str, pl.DataFrame]) -> list[dict[str, Any]]:
    everybody = Scope(None, scope.tenants, scope.customers)
    found = []
    for name, frame in tables.items():
        suite = suite_of(name)
        related = {
            other: tables[other].lazy() if other in tables else lake.scan(other, everybody)
            for other in suite.related
        }
        broken = [fact for fact in find_facts(suite, frame.lazy(), related).facts if fact.violations]
        said = "; ".join(f"{fact.violations} rows do not {fact.doc} ({fact.name})" for fact in broken)
        found.append({"table": name, "passed": not broken, "says": said or None})
    return found
