"""Everything Dagster knows of us. Put here: putting it together. Keep out: work at import time."""

import dagster as dg

from assets.access_snapshot import access_snapshot
from assets.allowances import allowances
from assets.billing_terms import billing_terms
from assets.bonus_balances import bonus_balances
from assets.committed_lines import committed_lines
from assets.discounted_lines import discounted_lines
from assets.dry_run import dry_run
from assets.gated_events import gated_events
from assets.invoice_lines import invoice_lines
from assets.invoice_taxes import invoice_taxes
from assets.invoices import invoices
from assets.metered_events import metered_events
from assets.quota_checks import quota_checks
from assets.rated_lines import rated_lines
from assets.raw_events import raw_events
from assets.reconciliation import reconciliation
from assets.replay import replay
from assets.rollovers import rollovers
from assets.routed_lines import routed_lines
from assets.settlements import settlements
from assets.taxed_lines import taxed_lines
from assets.usage_aggregates import usage_aggregates
from assets.wallet_balances import wallet_balances
from orchestration.checks import CHECKS
from orchestration.finance import FINANCE_JOBS
from orchestration.io_manager import LakeTables
from orchestration.jobs import JOBS
from orchestration.resources import ClaimFactory, resources
from orchestration.schedules import SCHEDULES
from orchestration.sensors import SENSORS

ASSETS = [
    raw_events, gated_events, billing_terms, metered_events, quota_checks, rollovers, usage_aggregates, allowances,
    rated_lines, committed_lines, discounted_lines, taxed_lines, routed_lines, settlements, invoices, invoice_lines,
    invoice_taxes,
    access_snapshot, wallet_balances, bonus_balances, replay, dry_run, reconciliation,
]  # fmt: skip


def definitions(given: dict[str, object] | None = None) -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors over these resources (by default, those of the environment)."""
    made = given or resources()
    claim = ClaimFactory(database=made["database"])  # type: ignore[arg-type]
    made = {**made, "claim": claim}
    tables = LakeTables(lake=made["lake"], scope=made["scope"], docs=made["docs"], claim=claim)  # type: ignore[arg-type]
    return dg.Definitions(
        assets=ASSETS,
        asset_checks=CHECKS,
        jobs=[*JOBS, *FINANCE_JOBS],
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources={**made, "io_manager": tables},
        executor=dg.in_process_executor,
    )


defs = definitions()
