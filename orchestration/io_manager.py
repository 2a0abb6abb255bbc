"""How frames get into the lake and back. Put here: the one IO manager. Keep out: what the tables mean.

Before a table is written it passes its gate: a frame that breaks its suite is never stored. Where the rows of some customers
break it, these are held, and what is stored passes.
"""

from typing import Any

import dagster as dg
import polars as pl

from assets._verdicts import verdict_metadata
from domain.errors import PermanentFailure
from expectations.catalogue import suite_of
from expectations.data_docs import DataDocs
from expectations.gate import Verdict, run_gate
from storage.bill_claims import BillClaim
from storage.lake import Lake, Scope
from transforms.engine import Parts
from transforms.frames import TABLES
from transforms.held_by_gate import at_fault, held
from transforms.table import AMOUNT


class GateClosed(PermanentFailure):
    """A frame broke its suite, so it was not written."""

    code = "GATE_CLOSED"

    def __init__(self, verdict: Verdict) -> None:
        broken = "; ".join(
            f"{fact.violations} rows do not {fact.doc} ({fact.name})" for fact in verdict.failed
        )
        super().__init__(f"gate of {verdict.asset}: {broken}. Nothing was written.")
        self.verdict = verdict


class LakeTables(dg.ConfigurableIOManager):
    """Delta tables by asset name; a run reads and replaces its month and scope, and nothing else. The first table it writes takes
    the month for it: of two runs at once one goes on."""

    lake: dg.ResourceDependency[Lake]
    scope: dg.ResourceDependency[Scope]
    docs: dg.ResourceDependency[DataDocs]
    claim: dg.ResourceDependency[BillClaim]

    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame | Parts) -> None:
        name = context.asset_key.path[-1]
        scope = self.scope.of(context.partition_key)
        self.claim.hold(scope)
        told: dict[str, object] = {}

        def approve(rows: pl.LazyFrame) -> None:
            verdict = self._judge(name, rows, scope, context.run_id)
            if not verdict.passed:
                raise self._closed(verdict)
            told.update({"dagster/row_count": verdict.rows, **money_sums(rows)})
            told.update(verdict_metadata(verdict, self.docs))

        if isinstance(obj, pl.DataFrame):
            frame, verdict, held_ = self._passed(name, TABLES[name].conform(obj), scope, context.run_id)
            self.lake.replace(name, frame, scope)
            told = {"dagster/row_count": frame.height, **money_sums(frame.lazy())}
            told |= {**verdict_metadata(verdict, self.docs), **held_}
        else:
            self.lake.replace_parts(name, obj.frames, scope, approve)
        context.add_output_metadata({"table_version": self.lake.version(name), **told})

    def load_input(self, context: dg.InputContext) -> pl.DataFrame | pl.LazyFrame:
        name = context.asset_key.path[-1]
        month = context.asset_partition_key if context.has_asset_partitions else None
        frame = self.lake.scan(name, self.scope.of(month) if month else self.scope)
        return frame if context.dagster_type.typing_type is pl.LazyFrame else frame.collect()

    def _passed(
        self, name: str, frame: pl.DataFrame, scope: Scope, run: str
    ) -> tuple[pl.DataFrame, Verdict, dict[str, Any]]:
        """The frame as it passes its gate, the verdict, and whom the gate held: where the rows of some customers break it, these are
        held by name and the others go on. Fails where that does not help."""
        verdict = self._judge(name, frame.lazy(), scope, run)
        if verdict.passed:
            return frame, verdict, {}
        people = at_fault(name, frame, [(fact.doc, fact.failing) for fact in verdict.failed])
        if people is not None:
            others = TABLES[name].conform(held(name, frame, people))
            second = self._judge(name, others.lazy(), scope, f"{run}.held")
            if second.passed:
                said = verdict_metadata(verdict, self.docs)
                names = ", ".join(f"{tenant}/{who}" for tenant, who, _ in people.iter_rows())
                told = {
                    "held_by_gate": names,
                    "held_rows": said["failing_rows"],
                    "held_page": said["data_docs"],
                }
                return others, second, told
        raise self._closed(verdict)

    def _closed(self, verdict: Verdict) -> dg.Failure:
        failure = dg.Failure(
            description=str(GateClosed(verdict)),
            metadata=verdict_metadata(verdict, self.docs),
            allow_retries=False,
        )
        failure.__cause__ = GateClosed(verdict)
        return failure

    def _judge(self, name: str, frame: pl.LazyFrame, scope: Scope, run: str) -> Verdict:
        suite = suite_of(name)
        related = {other: self.lake.scan(other, scope) for other in suite.related}
        return run_gate(suite, frame, related, docs=self.docs.path, run=run)


def money_sums(frame: pl.LazyFrame) -> dict[str, str]:
    """The sum of every money column, per currency where the table has one."""
    schema = frame.collect_schema()
    columns = [name for name, dtype in schema.items() if dtype == AMOUNT]
    if not columns:
        return {}
    if "currency" not in schema:
        sums = frame.select(pl.col(columns).sum()).collect(engine="streaming")
        return {f"sum_{name}": str(sums.item(0, name)) for name in columns}
    sums = (
        frame.filter(pl.col("currency").is_not_null())
        .group_by("currency")
        .agg(pl.col(columns).sum())
        .collect()
        .sort("currency")
    )
    return {
        f"sum_{name}": ", ".join(f"{row[name]} {row['currency']}" for row in sums.iter_rows(named=True))
        for name in columns
    }
