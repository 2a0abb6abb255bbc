"""The world while it is played. Put here: its ground, its clock, its tenants and what steps call by a name of their own. Keep out: the
steps (steps_of_*.py), their order (play.py)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.catalog.fields import FieldProblem, shown
from sandbox.clock import set_clock
from sandbox.ground import Ground
from sandbox.receiving import Post
from storage.tenancy import Tx, tenant_tx


@dataclass
class World:
    """A scenario's state. tenants: each tenant's part of its catalog as written, by id. names: what a step called something (`as`)."""

    ground: Ground
    post: Post
    at: datetime
    tenants: dict[str, Any]
    names: dict[str, str] = field(default_factory=dict)
    replays: list[dict[str, Any]] = field(default_factory=list)

    def move_to(self, at: datetime) -> None:
        """Set the clock, the database's too."""
        self.at = at
        set_clock(self.ground.database, at)

    @contextmanager
    def tx(self, tenant: str) -> Iterator[Tx]:
        """A transaction of the tenant, now."""
        with tenant_tx(self.ground.database, tenant, at=self.at) as tx:
            yield tx

    def tenant(self, named: object, path: str) -> str:
        """The tenant named, or the only one. Raises FieldProblem."""
        if named is None and len(self.tenants) == 1:
            return next(iter(self.tenants))
        known = ", ".join(self.tenants)
        if named is None:
            raise FieldProblem(f"{path}.tenant", f"is missing; the catalog has several tenants: {known}")
        if named not in self.tenants:
            raise FieldProblem(
                f"{path}.tenant", f"{shown(named)} is no tenant of the catalog; there are {known}"
            )
        return str(named)  # fmt: skip

    def named(self, name: str, field: str) -> str:
        """The id of what an earlier step called so. Raises FieldProblem."""
        if name not in self.names:
            known = ", ".join(self.names) or "none"
            raise FieldProblem(
                field, f"no step before calls anything {name!r} (`as: {name}`); named are {known}"
            )
        return self.names[name]  # fmt: skip


class Body:
    """A step's fields: those that say whom it concerns are taken out, the rest is what the service is sent."""

    def __init__(self, sent: dict[str, Any]) -> None:
        self.rest = dict(sent)

    def take(self, name: str) -> str:
        """Required text. Raises FieldProblem."""
        found = self.maybe(name)
        if found is None:
            raise FieldProblem(name, "is missing")
        return found

    def maybe(self, name: str) -> str | None:
        """Text, or None. Raises FieldProblem."""
        value = self.rest.pop(name, None)
        if value is not None and not isinstance(value, str | int):
            raise FieldProblem(name, f"{shown(value)} is not text")
        return None if value is None else str(value)

    def several(self, name: str) -> tuple[str, ...]:
        """A list of texts, or one. Raises FieldProblem."""
        value = self.rest.pop(name, None)
        found = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(each, str) for each in found):
            raise FieldProblem(name, f"{shown(value)} is not a list of texts")
        return tuple(found)

    def done(self) -> None:
        """Raise FieldProblem for what nobody took."""
        for name in self.rest:
            raise FieldProblem(name, "is not a field of this step")
