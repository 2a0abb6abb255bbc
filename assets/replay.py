"""replay: a billed month worked out again from raw events, in a scratch area, and compared with what was billed."""

import dagster as dg
from sqlalchemy import Engine

from assets._table import MONTHS
from expectations.data_docs import DataDocs
from storage.database import session_scope
from storage.lake import Lake
from storage.replay import replay as again
from storage.replay_report import page, report
from storage.scope import Scope
from storage.services.proposals import propose
from transforms.compare import findings


@dg.asset(
    name="replay",
    partitions_def=MONTHS,
    deps=["invoice_lines", "raw_events"],
    description="The month from raw events once more, line by line beside what was billed. Posts nothing: it proposes.",
    group_name="proof",
    kinds={"polars", "deltalake"},
)
def replay(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Engine],
    scope: dg.ResourceParam[Scope],
    docs: dg.ResourceParam[DataDocs],
) -> dg.MaterializeResult:
    with session_scope(database) as session:
        found = again(session, lake, scope.of(context.partition_key))
        proposals = propose(session, found, source="REPLAY")
    told = report(found)
    return dg.MaterializeResult(
        metadata={
            "equal": found.is_equal,
            "lines": found.lines.height,
            "lines_different": findings(found.lines).height,
            "corrections_proposed": ", ".join(each["id"] for each in proposals) or "none",
            "report": dg.MetadataValue.json(told),
            "page": dg.MetadataValue.url(docs.write(f"replay/{context.run_id}.html", page(told))),
        }
    )
