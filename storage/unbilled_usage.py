"""Usage that its bill does not know. Put here: whose it is. Keep out: billing them again (stack, orchestration)."""

from __future__ import annotations

import polars as pl

from storage.lake import Lake
from storage.scope import Scope
from transforms.enrich import window

WHO = ("tenant_id", "customer_id")
_USED = (*WHO, "unit")
_SEEN = pl.coalesce("seen", pl.lit(0))


def unbilled_customers(lake: Lake, scope: Scope) -> pl.DataFrame:
    """`tenant_id, customer_id, events` of the customers in the scope with usage that this month's bill prices and that is not behind
    their draft yet, or, once their invoices are issued, not in what the month was last worked out from. In order of
    customers; nobody while the month was never billed.

    Cost: five columns of the month's events, once, and one of what was metered of them.
    """
    assert scope.month is not None
    due = pl.col("due"), pl.col("kind") == "USAGE"
    terms = lake.scan("billing_terms", scope).filter(*due).collect()
    begin, end = pl.col("period_start").min(), pl.col("period_end").max()
    periods = terms.group_by(_USED).agg(begin, end).join(_seen(lake, scope), on=WHO, how="left")
    everybody = Scope(None, scope.tenants, scope.customers)
    events = lake.scan("validated_events", everybody).filter(
        pl.col("occurred_month").is_in(window(scope.month, terms).months())
    )
    here = pl.col("occurred_at").is_between("period_start", "period_end", closed="left")
    priced = events.select(*_USED, "occurred_at", "raw_seq").join(periods.lazy(), on=_USED, how="inner")
    counted = priced.filter(here, pl.col("raw_seq") > _SEEN).group_by(WHO).agg(events=pl.len())
    return counted.collect(engine="streaming").sort(WHO)


def _seen(lake: Lake, scope: Scope) -> pl.DataFrame:
    """`tenant_id, customer_id, seen`: the newest raw event that a customer's bill knows of."""
    metered = lake.scan("metered_events", scope).group_by(WHO).agg(metered=pl.col("raw_seq").max())
    draft = pl.col("status") == "DRAFT"
    until = pl.col("raw_until").fill_null(0)
    invoices = (
        lake.scan("invoices", scope)
        .group_by(WHO)
        .agg(until=pl.when(draft).then(until).max(), drafts=draft.any())
    )
    known = invoices.join(metered, on=WHO, how="left")
    # What was metered may never have come to be billed, if the run died in between; a draft knows what is behind it.
    return known.select(*WHO, seen=pl.when("drafts").then("until").otherwise("metered")).collect(
        engine="streaming"
    )
