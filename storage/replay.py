"""A month worked out again from raw events. Put here: reading what was billed, the gates and the stages over a scratch lake.
Keep out: what differs (transforms.compare), what follows from it (services.corrections).

Nothing here writes to the real tables: the gates' halves go to a folder of their own, which is removed. Memory is that of
metering the month.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
from sqlalchemy.orm import Session

from domain.errors import PermanentFailure
from domain.period import parse_month
from storage.code_version import code_version
from storage.earlier import earlier_allowances
from storage.increments import BATCH
from storage.lake import Lake
from storage.repositories.billed import billed_lines, voided_invoices
from storage.repositories.terms import frozen_terms
from storage.scope import Scope
from transforms.compare import compare, findings
from transforms.enrich import window
from transforms.frames import BILLING_TERMS, BONUS_BALANCES, WALLET_BALANCES
from transforms.gate import gate
from transforms.inputs import input_hashes
from transforms.s02_rollover import earlier_months
from transforms.work_out import work_out

_KEYS = ("tenant_id", "key_hash", "idempotency_key", "payload_hash", "raw_seq")


class NothingBilled(PermanentFailure):
    """There is nothing to compare with."""

    code = "NOTHING_BILLED"
    exit_code = 2

    def __init__(self, scope: Scope) -> None:
        who = ", ".join([*scope.tenants, *scope.customers]) or "anyone"
        super().__init__(
            f"month {scope.month}: nothing was billed to {who}; bill it first (`aforo bill {scope.month}`)"
        )


@dataclass(frozen=True)
class Known:
    """Which raw events a replay may know: received before an instant, and up to a raw position. None: all."""

    before: datetime | None = None
    raw_until: int | None = None

    def filters(self) -> list[pl.Expr]:
        found = []
        if self.before is not None:
            found.append(pl.col("received_at") < self.before)
        if self.raw_until is not None:
            found.append(pl.col("raw_seq") <= self.raw_until)
        return found


@dataclass(frozen=True)
class Recomputed:
    """A month worked out anew: its terms, its METERED_EVENTS, each stage's table by name, and INPUTS of its invoices."""

    terms: pl.DataFrame
    metered_events: pl.DataFrame
    tables: dict[str, pl.DataFrame]
    inputs: pl.DataFrame


@dataclass(frozen=True)
class Replay:
    """What a replay found: `lines` as of `transforms.compare.compare`. same_inputs: of invoices, whether they would be made from
    the very same events, terms and code (`tenant_id, invoice_id, number, same_inputs`)."""

    month: str
    code: str
    lines: pl.DataFrame
    invoices: pl.DataFrame

    @property
    def is_equal(self) -> bool:
        return findings(self.lines).is_empty()


def replay(
    session: Session, lake: Lake, scope: Scope, known: Known | None = None, *, batch: int = BATCH
) -> Replay:
    """The scope's month from raw events, beside what was billed. Raises NotAMonth, NothingBilled, and what the gates and stages
    raise."""
    assert scope.month is not None
    parse_month(scope.month)
    billed = billed_lines(session, scope)
    voided = voided_invoices(session, scope)
    if billed.is_empty() and not voided:
        raise NothingBilled(scope)
    recomputed = recompute(lake, terms_of(session, lake, scope), scope, known or Known(), batch=batch)
    lines = compare(billed=billed, routed_lines=recomputed.tables["routed_lines"], voided=voided)
    stored = lake.scan("invoices", scope).select("tenant_id", "invoice_id", "number", "input_hash").collect()
    anew = recomputed.inputs.select("tenant_id", "invoice_id", anew="input_hash")
    invoices = stored.join(anew, on=["tenant_id", "invoice_id"], how="left").select(
        "tenant_id",
        "invoice_id",
        "number",
        same_inputs=(pl.col("input_hash") == pl.col("anew")).fill_null(False),
    )
    return Replay(scope.month, code_version(), lines, invoices.sort("tenant_id", "number"))


def terms_of(session: Session, lake: Lake, scope: Scope) -> pl.DataFrame:
    """BILLING_TERMS as the bill froze them; where no bill did, as they would be frozen now."""
    assert scope.month is not None
    frozen = lake.scan("billing_terms", scope).collect()
    if not frozen.is_empty():
        return BILLING_TERMS.conform(frozen)
    now = frozen_terms(session, month=scope.month, tenants=scope.tenant_list, customers=scope.customer_list)
    return BILLING_TERMS.of_rows(now)


def recompute(
    lake: Lake, terms: pl.DataFrame, scope: Scope, known: Known, *, batch: int = BATCH
) -> Recomputed:
    """The scope's month under these terms from the raw events known: gates, metering and all ten stages."""
    assert scope.month is not None
    with _scratch() as scratch:
        _gate_again(lake, scratch, terms, scope, known, batch)
        validated = scratch.scan("validated_events", Scope(None, scope.tenants, scope.customers))
        made = work_out(
            validated_events=validated,
            terms=terms,
            month=scope.month,
            earlier_allowances=earlier_allowances(lake, scope, earlier_months(terms)),
            wallet_balances=WALLET_BALANCES.conform(lake.scan("wallet_balances", scope).collect()),
            bonus_balances=BONUS_BALANCES.conform(lake.scan("bonus_balances", scope).collect()),
        )
    inputs = input_hashes(
        metered_events=made.metered_events.lazy(),
        terms=terms,
        routed_lines=made.tables["routed_lines"],
        rollovers=made.tables["rollovers"],
        code=code_version(),
    )
    return Recomputed(terms, made.metered_events, made.tables, inputs)


@contextmanager
def _scratch() -> Iterator[Lake]:
    folder = Path(tempfile.mkdtemp(prefix="aforo-replay-"))
    try:
        yield Lake(str(folder / "lake"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _gate_again(
    lake: Lake, scratch: Lake, terms: pl.DataFrame, scope: Scope, known: Known, batch: int
) -> None:
    """All raw events that share a key with one the month's bill can reach, through the gates, in order: which of them stands is
    decided anew, also where the first one of a key was somebody else's or of another month."""
    assert scope.month is not None
    reach = window(scope.month, terms)
    raw = lake.scan("raw_events", Scope(None, scope.tenants)).filter(
        pl.col("key_hash").is_not_null(), *known.filters()
    )
    inside = raw.filter(pl.col("occurred_at") >= reach.start, pl.col("occurred_at") < reach.end)
    if scope.customers:
        inside = inside.filter(pl.col("customer_id").is_in(list(scope.customers)))
    # An amendment may say another time than its event, so acts are known whatever month they are of.
    acts = raw.filter(pl.col("act").is_not_null())
    concerned = pl.concat([inside.select("key_hash"), acts.select("key_hash")])
    keys = concerned.unique().collect().lazy()
    places = raw.join(keys, on="key_hash", how="semi").select("raw_seq").collect()["raw_seq"].sort()
    cursor = scratch.cursor("validated_events")
    for start in range(0, len(places), batch):
        some = places[start : start + batch]
        rows = (
            raw.filter(pl.col("raw_seq").is_between(some[0], some[-1]))
            .join(pl.LazyFrame({"raw_seq": some}), on="raw_seq", how="semi")
            .collect()
            .sort("raw_seq")
        )
        kept, _ = gate(rows, standing_keys=lambda hashes: _standing(scratch, hashes))
        cursor.append(kept, markers={"raw_events": int(some[-1])})


def _standing(scratch: Lake, hashes: pl.Series) -> pl.DataFrame:
    kept = scratch.scan("validated_events").select(_KEYS)
    return kept.join(pl.LazyFrame({"key_hash": hashes}).unique(), on="key_hash", how="semi").collect()
