"""What a customer's invoice would be now. Put here: running the pipeline on the lake as it is, writing nothing. Keep out: the pipeline."""

from __future__ import annotations

from typing import Any

import polars as pl
from sqlalchemy.orm import Session

from storage.earlier import earlier_allowances
from storage.lake import Lake
from storage.repositories.bonus_balances import frozen_bonus
from storage.repositories.terms import frozen_terms
from storage.repositories.wallet_billing import frozen_balances
from storage.scope import Scope
from transforms.frames import BILLING_TERMS, BONUS_BALANCES, WALLET_BALANCES
from transforms.in_force import in_force
from transforms.s02_rollover import earlier_months
from transforms.work_out import WorkedOut, work_out


def invoice_preview(
    session: Session, lake: Lake, tenant_id: str, customer_id: str, month: str
) -> dict[str, Any]:
    """`settlements` and `lines` (rows of SETTLEMENTS and ROUTED_LINES) of the month, by the ten stages that bill it. Held lines say
    why. Raises NotAMonth, and what the stages raise."""
    rows = frozen_terms(session, month=month, tenants=[tenant_id], customers=[customer_id])
    terms = BILLING_TERMS.of_rows(rows)
    if terms.is_empty():
        return {"settlements": [], "lines": []}
    made = month_so_far(session, lake, terms, tenant_id, customer_id, month).tables
    return {"settlements": made["settlements"].to_dicts(), "lines": made["routed_lines"].to_dicts()}


def month_so_far(
    session: Session, lake: Lake, terms: pl.DataFrame, tenant_id: str, customer_id: str, month: str
) -> WorkedOut:
    """All ten stages over what has arrived under these terms of the customer, at least one. Raises what the stages raise."""
    scope = Scope(tenants=(tenant_id,), customers=(customer_id,))
    used = pl.col("occurred_at").is_between(
        terms["active_start"].min(), terms["active_end"].max(), closed="left"
    )
    events = in_force(lake.scan("validated_events", scope)).filter(used)
    who: dict[str, Any] = {"month": month, "tenants": [tenant_id], "customers": [customer_id]}
    balances, bonus = frozen_balances(session, **who), frozen_bonus(session, **who)
    return work_out(
        validated_events=events,
        terms=terms,
        month=month,
        earlier_allowances=earlier_allowances(lake, scope, earlier_months(terms)),
        wallet_balances=pl.DataFrame(balances, schema=WALLET_BALANCES.schema),
        bonus_balances=pl.DataFrame(bonus, schema=BONUS_BALANCES.schema),
    )
