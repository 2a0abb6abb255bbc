"""Which rows a run is about. Put here: a month, tenants and customers as conditions. Keep out: reading and replacing (lake.py)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import polars as pl


@dataclass(frozen=True)
class Scope:
    """Which rows a run reads and replaces: a month, and optionally only some tenants and customers of it."""

    month: str | None = None
    tenants: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()

    def of(self, month: str) -> Scope:
        """The same tenants and customers, in this month."""
        return replace(self, month=month)

    @property
    def tenant_list(self) -> list[str] | None:
        """The tenants; None: all."""
        return list(self.tenants) or None

    @property
    def customer_list(self) -> list[str] | None:
        """The customers; None: all."""
        return list(self.customers) or None

    def filters(self, columns: Iterable[str]) -> list[pl.Expr]:
        """The scope as conditions, for the columns a table has."""
        known = set(columns)
        found: list[pl.Expr] = []
        if self.month and "month" in known:
            found.append(pl.col("month") == self.month)
        if self.tenants and "tenant_id" in known:
            found.append(pl.col("tenant_id").is_in(list(self.tenants)))
        if self.customers and "customer_id" in known:
            found.append(pl.col("customer_id").is_in(list(self.customers)))
        return found

    def predicate(self) -> str:
        """The scope as Delta's replace predicate; a month is required, so that nothing is replaced by accident."""
        if not self.month:
            raise ValueError("scope: a month is needed to replace rows")
        parts = [f"month = {_quoted(self.month)}"]
        if self.tenants:
            parts.append(f"tenant_id IN ({', '.join(map(_quoted, self.tenants))})")
        if self.customers:
            parts.append(f"customer_id IN ({', '.join(map(_quoted, self.customers))})")
        return " AND ".join(parts)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
