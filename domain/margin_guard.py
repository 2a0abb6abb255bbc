"""How far customers are restricted because serving them costs more than it pays. Put here: the levels, reading and writing one. Keep
out: working a margin out, what the doors make of a level (entitlement.py)."""

from __future__ import annotations

from typing import Any

from domain.access import MarginLevel
from domain.catalog.fields import Fields

NONE = "NONE"
LEVELS = (NONE, "L1_ALERT", "L2_THROTTLE", "L3_BLOCK")
_USUAL = MarginLevel()


def read_margin_level(fields: Fields) -> MarginLevel:
    """`level`, `throttleRate` (percent let through at L2), `retryAfterSeconds`, `message`. Raises FieldProblem."""
    rate = fields.whole("throttleRate", 0, 100)
    return MarginLevel(
        fields.choice("level", LEVELS),
        _USUAL.throttle_rate if rate is None else rate,
        fields.whole("retryAfterSeconds", 1, 86_400) or _USUAL.retry_after,
        fields.maybe_text("message"),
    )


def written_margin_level(level: MarginLevel) -> dict[str, Any]:
    """As JSON, as `read_margin_level` reads it back."""
    return {
        "level": level.level,
        "throttleRate": level.throttle_rate,
        "retryAfterSeconds": level.retry_after,
        "message": level.message,
    }
