"""Billing a month. Put here: the lineage's own assets, run one after the other. Keep out: what they do (assets, transforms).

Dagster starts nothing here, but what runs are the assets' own functions, in the order their inputs ask for; a new asset is taken
up by itself. Each table passes its gate on the way into the lake, as production's IO manager has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from graphlib import TopologicalSorter
from importlib import import_module
from inspect import signature
from typing import Any

import polars as pl

from assets._kept import keep
from expectations.admission import GateClosed, broken_facts
from sandbox.ground import Ground
from storage.scope import Scope
from transforms.engine import Parts
from transforms.frames import TABLES

EVENT_TABLES = ("raw_events", "validated_events", "quarantined_events")


def bill(ground: Ground, month: str, tenants: tuple[str, ...], customers: tuple[str, ...]) -> Scope:
    """Bill the month for these tenants and customers (empty: all); the scope that was billed.

    Raises GateClosed and what assets and stages raise.
    """
    scope = Scope(month, tenants, customers)
    made: dict[str, pl.DataFrame] = {}

    def table(name: str) -> pl.LazyFrame:
        """As the lake would give it back; what was just written need not be read again."""
        if name in made:
            return made[name].lazy()
        return ground.lake.scan(name, replace(scope, month=None) if name in EVENT_TABLES else scope)

    for name in _order():
        rows = _made(name, ground, scope, table)
        kept = keep(ground.lake, name, rows, scope, partial(broken_facts, name))
        if not isinstance(rows, Parts):
            made[name] = kept.rows.collect()
        if name == "invoices":  # it may have held customers after all, and then says so in the lake
            made.pop("routed_lines")
            made.pop("settlements")
    return scope


def judge(name: str, frame: pl.LazyFrame, *, related: Mapping[str, pl.LazyFrame]) -> None:
    """Put a table of events before its suite. Raises GateClosed."""
    broken = broken_facts(name, frame, related)
    if broken:
        raise GateClosed(name, broken)


@dataclass
class _Run:
    """What an asset's body asks of its context."""

    partition_key: str
    run_id: str = "sandbox"

    def add_output_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Shown by Dagster; here nobody looks at it."""


@cache
def _bodies() -> dict[str, Callable[..., pl.DataFrame | Parts]]:
    """The function each billing asset is made of, by its table's name."""
    names = (name for name in TABLES if name not in EVENT_TABLES)
    return {name: getattr(import_module(f"assets.{name}"), name).op.compute_fn.decorated_fn for name in names}


@cache
def _order() -> tuple[str, ...]:
    needs = {name: set(signature(body).parameters) & set(_bodies()) for name, body in _bodies().items()}
    return tuple(TopologicalSorter(needs).static_order())


def _made(
    name: str, ground: Ground, scope: Scope, table: Callable[[str], pl.LazyFrame]
) -> pl.DataFrame | Parts:
    body = _bodies()[name]
    given: dict[str, Any] = {
        "context": _Run(str(scope.month)),
        "database": ground.database,
        "lake": ground.lake,
        "scope": scope,
    }
    for each in signature(body).parameters.values():
        if each.name not in given:
            frame = table(each.name)
            given[each.name] = frame if each.annotation is pl.LazyFrame else frame.collect()
    return body(**{each: given[each] for each in signature(body).parameters})
