"""What an edit changed. Put here: before and after of each field, for the audit log. Keep out: the nouns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """{field: {before, after}} of the fields that differ, as JSON values; a field that is missing is null."""
    return {
        name: {"before": _plain(before.get(name)), "after": _plain(after.get(name))}
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    }


def no_expectation(what: str, revision: int) -> None:
    """For edits that anybody may make whatever revision they read."""


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, datetime) else value
