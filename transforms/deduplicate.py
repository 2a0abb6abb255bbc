"""One key, one event, for ever. Put here: which of several events with one key stands. Keep out: finding old keys.

Cost: one pass over the new events by a stored 64-bit hash; full keys are compared only where hashes are equal.
"""

from __future__ import annotations

import narwhals as nw

from transforms.engine import Events

_KEY = ("tenant_id", "key_hash", "idempotency_key")
IDENTITY = (*_KEY, "payload_hash", "raw_seq")
"""What it takes to tell whether an event repeats another."""


def suspects(passed: Events) -> Events:
    """Of the events that passed the gates, those whose key hash appears more than once among them."""
    return passed.filter(nw.len().over("key_hash") > 1)


def repeats(suspicious: Events, standing: Events) -> Events:
    """Which suspicious events repeat an earlier one: `raw_seq, first_raw_seq, code`.

    suspicious: events whose key hash is shared. standing: `tenant_id, key_hash, idempotency_key, payload_hash, raw_seq`
    of validated events with one of these hashes. The lowest `raw_seq` of a key stands. A repeat with the same payload is a
    DUPLICATE, with another an IDEMPOTENCY_CONFLICT.
    """
    both = nw.concat([standing.select(*IDENTITY), suspicious.select(*IDENTITY)])
    seqs = both.group_by(*_KEY).agg(first_raw_seq=nw.col("raw_seq").min())
    firsts = seqs.join(
        both.select(nw.col("raw_seq").alias("first_raw_seq"), nw.col("payload_hash").alias("first_payload")),
        on="first_raw_seq",
        how="inner",
    )
    found = suspicious.select(*IDENTITY).join(firsts, on=list(_KEY), how="inner")
    same = nw.col("payload_hash") == nw.col("first_payload")
    return found.filter(nw.col("raw_seq") > nw.col("first_raw_seq")).select(
        "raw_seq",
        "first_raw_seq",
        repeat_code=nw.when(same).then(nw.lit("DUPLICATE")).otherwise(nw.lit("IDEMPOTENCY_CONFLICT")),
    )
