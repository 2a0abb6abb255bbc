"""The hash chain of the audit log. Put here: how an entry is hashed. Keep out: storing and reading entries.

Each entry's hash covers its content and the hash before it, so that changing, removing or reordering entries of the past breaks
the chain at that place. The form is fixed for ever: old entries must keep their hashes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

START = ""
"""What the first entry of a tenant names as the hash before it."""

_FIELDS = (
    "event_id",
    "actor",
    "role",
    "ip",
    "request_id",
    "action",
    "target_type",
    "target_id",
    "changes",
    "reason",
)


def entry_hash(before: str, entry: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of an entry and of the hash before it. entry: as stored, with tenant_id and at."""
    content = {name: entry[name] for name in _FIELDS}
    content["tenant_id"] = entry["tenant_id"]
    content["at"] = entry["at"].astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps([before, content], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def storable(value: Any) -> Any:
    """A value as JSON that reads back equal: no binary floats, decimals and times as text."""
    if isinstance(value, Mapping):
        return {str(name): storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [storable(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float | Decimal):
        return format(value if isinstance(value, Decimal) else Decimal(repr(value)), "f")
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
