"""dry_run: a month as it would be billed now. No invoice gets a number, no wallet moves, the ledger stays as it is."""

import json

import dagster as dg
from sqlalchemy import Engine

from assets._dry_run import judged_dry_run
from assets._table import BILL_RUN, MONTHS
from expectations.data_docs import DataDocs
from storage.database import session_scope
from storage.dry_run_report import dry_run_page
from storage.lake import Lake
from storage.repositories.bill_requests import keep_result
from storage.scope import Scope


@dg.asset(
    name="dry_run",
    partitions_def=MONTHS,
    deps=["validated_events"],
    description="The month as it would be billed at this moment, through all ten stages and their gates. Posts nothing.",
    group_name="proof",
    kinds={"polars"},
)
def dry_run(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Engine],
    scope: dg.ResourceParam[Scope],
    docs: dg.ResourceParam[DataDocs],
) -> dg.MaterializeResult:
    request, tenant = context.run.tags.get(BILL_RUN), context.run.tags.get("aforo/tenant")
    with session_scope(database) as session:
        told = judged_dry_run(session, lake, scope.of(context.partition_key))
        if request and tenant:
            keep_result(session, tenant, request, told)
    folder = f"dry-run/{context.run_id}"
    stopped = [each["table"] for each in told["gates"] if not each["passed"]]
    return dg.MaterializeResult(
        metadata={
            "invoices": len(told["invoices"]),
            "customers_held": len(told["held"]),
            "gates_that_would_stop": ", ".join(stopped) or "none",
            "totals": dg.MetadataValue.json(told["totals"]),
            "page": dg.MetadataValue.url(docs.write(f"{folder}/index.html", dry_run_page(told))),
            "result": dg.MetadataValue.url(docs.write(f"{folder}/result.json", json.dumps(told, indent=1))),
        }
    )
