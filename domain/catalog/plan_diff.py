"""What differs between two versions of a plan. Put here: paths with before and after. Keep out: what a difference means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def plan_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`{path: {before, after}}` of every leaf of two contents that differs, such as `prices.api_calls.rate`; None where a side
    lacks it. Prices go by unit, so that one that moved up the list is not a different one."""
    old, new = dict(_leaves(_by_unit(before))), dict(_leaves(_by_unit(after)))
    return {
        path: {"before": old.get(path), "after": new.get(path)}
        for path in {**old, **new}
        if old.get(path) != new.get(path)
    }


def _by_unit(content: Mapping[str, Any]) -> dict[str, Any]:
    return {**content, "prices": {price["unit"]: price for price in content["prices"]}}


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Leaves with their paths."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path, value
