"""Operator keys as asked for. Put here: their shape, and which roles may give which. Keep out: secrets, storage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.actor import ROLES
from domain.catalog.fields import FieldProblem, Fields, shown
from domain.errors import Forbidden
from domain.instant import EPOCH, NotAnInstant, to_micros_since_epoch

ALIASES = {"MEMBER": "VIEWER"}
GRACE = timedelta(minutes=5)
"""How long the secret before a rotation still works."""


class OwnersOnly(Forbidden):
    """Keys of owners are for owners to make and change."""

    code = "OWNERS_ONLY"

    def __init__(self, role: str) -> None:
        super().__init__(
            f"A key with the role {role} may not make or change a key with the role OWNER; only an OWNER may."
        )


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """An operator key to be made. expires_at None: never."""

    name: str
    role: str
    expires_at: datetime | None = None


def read_operator_key(fields: Fields, now: datetime) -> OperatorKey:
    """A key as asked for. Raises FieldProblem."""
    name = fields.text("name")
    role = fields.choice("role", (*ROLES, *ALIASES))
    key = OperatorKey(name, ALIASES.get(role, role), _expiry(fields, now))
    fields.done()
    return key


def require_may_give(giver: str, role: str) -> None:
    """Raises OwnersOnly unless someone with the role `giver` may make and change keys with this role."""
    if role == "OWNER" and giver != "OWNER":
        raise OwnersOnly(giver)


def _expiry(fields: Fields, now: datetime) -> datetime | None:
    name, value = fields.raw("expiresAt")
    if value is None:
        return None
    try:
        moment = EPOCH + timedelta(microseconds=to_micros_since_epoch(value))
    except NotAnInstant as error:
        raise FieldProblem(fields.at(name), f"{shown(value)} {error}") from None
    if moment <= now:
        raise FieldProblem(fields.at(name), f"{shown(value)} is past; name a time to come, or leave it out")
    return moment
