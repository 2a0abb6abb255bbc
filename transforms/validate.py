"""The gates on frames. Put here: which raw events pass, and why others do not. Keep out: duplicates (deduplicate.py).

The edge asked the same questions at the door; the lake asks again, from the stored time of receipt, so that a replay
decides the same and a faulty door cannot let a bad event through.
"""

from __future__ import annotations

from datetime import timedelta

import narwhals as nw

from transforms.engine import Events

MAX_AHEAD = timedelta(minutes=5)
MAX_AGE = timedelta(days=90)
LATE_AFTER = timedelta(hours=24)

_REQUIRED = ("customer_id", "unit", "quantity", "occurred_at", "idempotency_key", "key_hash", "payload_hash")


def validate(raw: Events) -> Events:
    """RAW_EVENTS rows with `code` and `detail` (null: passed) and `late`. Equality passes at both ends of time."""
    ahead = nw.col("occurred_at") > nw.col("received_at") + nw.lit(MAX_AHEAD)
    old = (nw.col("occurred_at") < nw.col("received_at") - nw.lit(MAX_AGE)) & nw.col("backfill").is_null()
    negative = (nw.col("quantity") < 0) & ~nw.col("correction")
    gates = [
        *((nw.col(name).is_null(), "SCHEMA_INVALID", f"{name}: is missing") for name in _REQUIRED),
        (negative, "NEGATIVE_QUANTITY", "quantity: is negative; only units that allow it take corrections"),
        (ahead, "FUTURE_TIMESTAMP", "occurred_at: is more than 5 minutes after receipt"),
        (old, "TOO_OLD", "occurred_at: is more than 90 days before receipt"),
    ]
    code = detail = nw.lit(None, dtype=nw.String)
    for closed, its_code, its_detail in reversed(gates):
        code = nw.when(closed).then(nw.lit(its_code)).otherwise(code)
        detail = nw.when(closed).then(nw.lit(its_detail)).otherwise(detail)
    refused = nw.col("door") == "REJECTED"
    return raw.with_columns(
        code=nw.when(refused).then(nw.col("reject_code")).otherwise(code),
        detail=nw.when(refused).then(nw.col("reject_detail")).otherwise(detail),
        late=(nw.col("received_at") - nw.col("occurred_at") > nw.lit(LATE_AFTER)).fill_null(False),
    )
