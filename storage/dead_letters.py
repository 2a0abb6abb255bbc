"""Events that did not pass. Put here: listing them, showing both sides of a conflict, sending them through the door again. Keep out:
the gates (domain.usage), printing.

Sent again, an event keeps its key, its text and its time of receipt, so that only what was put right since (a unit that now exists,
say) is decided otherwise. However often it is sent again, it counts once: its key is known for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl
from redis import Redis

from domain.counters import bumps
from domain.errors import NotFound
from domain.instant import micros
from domain.usage import Door, read_event
from storage import event_log, hot_state
from storage.event_macs import signing_key_here
from storage.lake import Lake
from storage.scope import Scope

REPEATS = ("DUPLICATE", "IDEMPOTENCY_CONFLICT")
"""Not to be sent again: the event that stands is there."""
_SHOWN = (
    "raw_seq", "tenant_id", "code", "detail", "customer_id", "unit", "quantity", "occurred_at", "received_at", "source",
    "idempotency_key", "first_raw_seq",
)  # fmt: skip


class DeadLetterNotFound(NotFound):
    """No such event among those that did not pass."""

    code = "DEAD_LETTER_NOT_FOUND"
    exit_code = 2

    def __init__(self, raw_seq: int) -> None:
        super().__init__(f"event {raw_seq} is not among the dead letters; `aforo dlq ls` lists them")


@dataclass
class SentAgain:
    """What became of dead letters sent again: how many were taken in, were there already, or were refused once more and why."""

    accepted: int = 0
    duplicates: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def dead_letters(
    lake: Lake, tenant_id: str | None, codes: Collection[str] = (), limit: int = 100
) -> list[dict[str, Any]]:
    """The newest first; codes: only these, otherwise all but plain duplicates."""
    found = lake.scan("quarantined_events", Scope(tenants=(tenant_id,) if tenant_id else ()))
    wanted = pl.col("code").is_in(list(codes)) if codes else pl.col("code") != "DUPLICATE"
    return (
        found.filter(wanted).select(_SHOWN).sort("raw_seq", descending=True).head(limit).collect().to_dicts()
    )


def dead_letter(lake: Lake, raw_seq: int) -> dict[str, Any]:
    """One of them with its payload; of a conflict also the payload that stands. Raises DeadLetterNotFound."""
    of_seq = pl.col("raw_seq") == raw_seq
    rows = lake.scan("quarantined_events").filter(of_seq).select(*_SHOWN, "payload").collect().to_dicts()
    if not rows:
        raise DeadLetterNotFound(raw_seq)
    (row,) = rows
    if row["first_raw_seq"] is not None:
        first = pl.col("raw_seq") == row["first_raw_seq"]
        row["standing"] = (
            lake.scan("raw_events")
            .filter(first)
            .select("raw_seq", "received_at", "source", "payload")
            .collect()
            .to_dicts()[0]
        )
    return row


def send_again(redis: Redis, lake: Lake, tenant_id: str, codes: Collection[str]) -> SentAgain:
    """All dead letters of these codes through the door again, as received then."""
    found = lake.scan("quarantined_events", Scope(tenants=(tenant_id,))).filter(
        pl.col("code").is_in(list(codes)), ~pl.col("code").is_in(REPEATS), pl.col("payload").is_not_null()
    )
    rows = (
        found.select("raw_seq", "received_at", "source", "key_id", "payload", "backfill")
        .sort("raw_seq")
        .collect()
    )
    units = hot_state.read_units(redis, tenant_id)
    wait = event_log.assert_durable(redis)
    event_log.announce(redis, tenant_id)
    done = SentAgain()
    for row in rows.iter_rows(named=True):
        _send(redis, tenant_id, units, row, done, wait=wait)
    return done


def _send(
    redis: Redis, tenant_id: str, units: Any, row: dict[str, Any], done: SentAgain, *, wait: bool
) -> None:
    received_at = micros(row["received_at"])
    door = Door(tenant_id, units, backfill=row["backfill"], salt=f"dlq:{row['raw_seq']}")
    try:
        sent = _decode(row["payload"])
    except msgspec.DecodeError:
        done.refused["SCHEMA_INVALID"] += 1
        return
    event = read_event(sent, door, received_at=received_at)
    if event.refusals:
        # It lies among the dead letters already; another copy of it would say nothing new.
        done.refused[event.refusals[0].code] += 1
        return
    rights = hot_state.read_rights(redis, tenant_id, event.customer_id) if event.customer_id else None
    source = f"dlq:{row['raw_seq']}"
    request = event_log.Request(
        tenant_id,
        source,
        row["key_id"],
        received_at,
        [event],
        [row["payload"]],
        [bumps(event, sent, rights)],
        signed_with=signing_key_here(),
    )
    verdict = event_log.append(redis, request, wait=wait).verdicts
    if verdict == event_log.ACCEPTED:
        done.accepted += 1
    elif verdict == event_log.DUPLICATE:
        done.duplicates += 1
    else:
        done.refused["IDEMPOTENCY_CONFLICT"] += 1


def _decode(text: str) -> Any:
    return msgspec.json.Decoder(float_hook=Decimal).decode(text)
