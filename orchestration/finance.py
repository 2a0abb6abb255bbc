"""What finance does in the UI. Put here: the jobs a person starts with a month and a scope. Keep out: what runs by itself (jobs.py)."""

import dagster as dg
from pydantic import Field
from sqlalchemy import Engine

from expectations.data_docs import DataDocs
from storage.customer_story import story, story_page
from storage.database import session_scope
from storage.lake import Lake
from storage.services.draft_approval import Drafts, issue_drafts, require_ended, tenants_with_drafts


class Approval(dg.Config):
    """Whose drafts of which month are approved."""

    month: str = Field(description="the billing month, YYYY-MM; it must have ended")
    tenants: list[str] = Field(default_factory=list, description="ids; empty: all tenants that have drafts")
    customers: list[str] = Field(default_factory=list, description="ids; empty: all")
    approved_by: str = Field(default="dagster-ui", description="who approves, for the audit log")


class Whom(dg.Config):
    """One customer in one month."""

    month: str = Field(description="the billing month, YYYY-MM")
    tenant: str = Field(description="the tenant's id")
    customer: str = Field(description="the customer's id")


@dg.op
def issue_approved_drafts(
    context: dg.OpExecutionContext, config: Approval, database: dg.ResourceParam[Engine]
) -> None:
    """Issue the drafts, tenant by tenant; one that cannot be issued is named and the others go on."""
    issued, failed = [], []
    with session_scope(database) as session:
        require_ended(session, config.month)
        tenants = config.tenants or tenants_with_drafts(session, config.month)
    for tenant in tenants:
        with session_scope(database) as session:
            done, not_done = issue_drafts(
                session, Drafts(tenant, config.month, config.customers), config.approved_by
            )
            issued += [
                f"| {row.tenant_id} | {row.number} | {row.customer_id} | {row.total} {row.currency} | {row.status} |"
                for row in done
            ]
            failed += not_done
    for each in failed:
        context.log.error("draft %s of tenant %s: %s", each["number"], each["tenantId"], each["reason"])
    head = "| tenant | number | customer | total | status |\n|---|---|---|---|---|\n"
    context.add_output_metadata(
        {
            "issued": len(issued),
            "not_issued": len(failed),
            "invoices": dg.MetadataValue.md(head + "\n".join(issued) if issued else "none"),
            "reasons": dg.MetadataValue.json(failed),
        }
    )


@dg.job(
    executor_def=dg.in_process_executor,
    description="Approve the drafts of a month that has ended: they are issued and never edited again. Doing it again changes nothing.",
)
def approve_drafts() -> None:
    issue_approved_drafts()


@dg.op
def tell_customers_story(
    context: dg.OpExecutionContext,
    config: Whom,
    lake: dg.ResourceParam[Lake],
    docs: dg.ResourceParam[DataDocs],
) -> None:
    """Write the page and link it."""
    chapters = story(lake, config.tenant, config.customer, config.month)
    content = story_page(config.tenant, config.customer, config.month, chapters)
    link = docs.write(f"stories/{context.run_id}.html", content)
    context.log.info("the story of %s in %s: %s", config.customer, config.month, link)
    context.add_output_metadata(
        {
            "page": dg.MetadataValue.url(link),
            **{chapter.title.replace(" ", "_").replace(",", ""): len(chapter.rows) for chapter in chapters},
        }
    )


@dg.job(
    executor_def=dg.in_process_executor,
    description="What happened to one customer's money in a month, stage by stage, as a page. Changes nothing.",
)
def customer_story() -> None:
    tell_customers_story()


FINANCE_JOBS = [approve_drafts, customer_story]
