"""What callers sent. Put here: making it whole before the domain reads it, and what the database said to it. Keep out: nouns."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import IntegrityError

from domain.catalog.fields import CatalogRefused, FieldProblem, Fields

ANSWERED = ("createdAt", "updatedAt", "archivedAt", "revision")
"""Fields answers carry and nobody sets: whoever sends an answer back changed means the others."""


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(8)}"


def with_id(sent: Mapping[str, Any], prefix: str, *names: str) -> dict[str, Any]:
    """The body with an identifier: the one sent under a name, or a new one under the first of them."""
    if any(sent.get(name) is not None for name in names):
        return dict(sent)
    return {**sent, names[0]: new_id(prefix)}


def merged(
    written: Mapping[str, Any], sent: Mapping[str, Any], aliases: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What is stored with the fields sent on top; null clears one. aliases: other spellings of the stored names."""
    known = aliases or {}
    changed = {known.get(name, name) for name in sent}
    kept = {name: value for name, value in written.items() if name not in changed}
    return kept | {name: value for name, value in sent.items() if name not in ANSWERED}


def require(sent: Mapping[str, Any], *names: str) -> None:
    """Raises CatalogRefused naming every field that is missing."""
    fields = Fields(sent, "")
    missing = [FieldProblem(name, "is missing; it is required") for name in names if not fields.has(name)]
    if missing:
        raise CatalogRefused(missing)


def keeps_id(sent: Mapping[str, Any], identifier: str, *names: str) -> None:
    """Raises FieldProblem if the body names another identifier than the path."""
    for name in names:
        if sent.get(name) is not None and str(sent[name]) != identifier:
            raise FieldProblem(name, f"{sent[name]!r} is not {identifier!r}; an identifier never changes")


def violated(error: IntegrityError) -> str:
    """The name of the constraint that refused."""
    return getattr(getattr(error.orig, "diag", None), "constraint_name", None) or ""
