"""How frames get into the lake and back. Put here: the one IO manager. Keep out: what the tables mean.

Before a table is written it passes its gate: a frame that breaks its suite is never stored. Where the rows of some customers
break it, these are held, and what is stored passes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from assets._kept import keep
from assets._verdicts import verdict_metadata
from expectations.admission import Admitted, GateClosed
from expectations.catalogue import suite_of
from expectations.data_docs import DataDocs
from expectations.gate import Verdict, run_gate
from expectations.suite import Fact
from storage.bill_claims import BillClaim
from storage.lake import Lake
from storage.scope import Scope
from transforms.engine import Parts
from transforms.table import AMOUNT


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
        verdicts: list[Verdict] = []

        def judge(rows: pl.LazyFrame, related: Mapping[str, pl.LazyFrame]) -> Sequence[Fact]:
            run = f"{context.run_id}.held" if verdicts else context.run_id
            verdicts.append(run_gate(suite_of(name), rows, related, docs=self.docs.path, run=run))
            return verdicts[-1].failed

        try:
            kept = keep(self.lake, name, obj, scope, judge)
        except GateClosed as closed:
            said = verdict_metadata(verdicts[0], self.docs)
            raise dg.Failure(description=str(closed), metadata=said, allow_retries=False) from closed
        told: dict[str, object] = {"table_version": self.lake.version(name)}
        told |= {"dagster/row_count": verdicts[-1].rows, **money_sums(kept.rows)}
        told |= verdict_metadata(verdicts[-1], self.docs)
        context.add_output_metadata(told | self._held(kept.admitted, verdicts[0]))

    def load_input(self, context: dg.InputContext) -> pl.DataFrame | pl.LazyFrame:
        name = context.asset_key.path[-1]
        month = context.asset_partition_key if context.has_asset_partitions else None
        frame = self.lake.scan(name, self.scope.of(month) if month else self.scope)
        return frame if context.dagster_type.typing_type is pl.LazyFrame else frame.collect()

    def _held(self, admitted: Admitted, verdict: Verdict) -> dict[str, Any]:
        """Whom the gate held, and the rows that were why."""
        if admitted.people.is_empty():
            return {}
        said = verdict_metadata(verdict, self.docs)
        names = ", ".join(f"{tenant}/{who}" for tenant, who, _ in admitted.people.iter_rows())
        return {"held_by_gate": names, "held_rows": said["failing_rows"], "held_page": said["data_docs"]}


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
