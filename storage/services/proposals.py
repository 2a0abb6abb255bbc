"""Corrections proposed. Put here: keeping what a replay, or a billing run, found of issued invoices. Keep out: approving it
(corrections.py), finding it (storage.replay)."""

from __future__ import annotations

from typing import Any

import polars as pl
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storage.code_version import code_version
from storage.replay import Replay
from storage.replay_report import differences
from storage.tables.corrections import ReplayRow
from storage.tables.invoices import InvoiceRow
from transforms.compare import findings, findings_hash


def propose(session: Session, found: Replay, *, source: str) -> list[dict[str, Any]]:
    """Keep what a replay found of issued invoices, a proposal per tenant; the same finding is the same proposal. source: REPLAY, or
    RUN for what a billing run came upon."""
    return propose_lines(session, found.month, found.lines, source=source)


def propose_lines(
    session: Session, month: str, compared: pl.DataFrame, *, source: str
) -> list[dict[str, Any]]:
    """The same for lines as of `transforms.compare.compare`."""
    different = findings(compared).filter(
        pl.col("difference").fill_null(0) != 0, pl.col("subscription_id").is_not_null()
    )
    issued = _issued_among(session, different["invoice_id"].drop_nulls().unique().to_list())
    mine = (
        different.filter(pl.concat_list("tenant_id", "invoice_id").is_in([list(pair) for pair in issued]))
        if issued
        else different.head(0)
    )
    proposals = []
    for (tenant_id,), rows in mine.group_by("tenant_id", maintain_order=True):
        digest = findings_hash(month, rows)
        replay_id = f"rpy_{digest[:16]}"
        new = insert(ReplayRow).values(
            tenant_id=tenant_id,
            id=replay_id,
            month=month,
            source=source,
            status="PROPOSED",
            content_hash=digest,
            code_version=code_version(),
            differences=differences(rows),
        )
        session.execute(new.on_conflict_do_nothing())
        row = session.get_one(ReplayRow, (tenant_id, replay_id), populate_existing=True)
        proposals.append({"id": replay_id, "tenantId": tenant_id, "status": row.status, "month": month})
    return proposals


def _issued_among(session: Session, invoices: list[str]) -> list[tuple[str, str]]:
    """Those of the invoices that no run changes any more: a draft is simply billed again."""
    query = select(InvoiceRow.tenant_id, InvoiceRow.id).where(
        InvoiceRow.id.in_(invoices), InvoiceRow.status.not_in(("DRAFT", "VOID"))
    )
    return list(session.execute(query).tuples())
