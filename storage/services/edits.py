"""Edits of catalog nouns. Put here: from what was sent to the whole noun, and confirming deletions. Keep out: any one noun."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from domain.catalog.deletion import BLOCK, WARN, DeletionCheck
from domain.catalog.fields import FieldProblem, shown
from domain.errors import Conflict

KEPT_BY_US = frozenset({"revision", "template", "createdAt", "updatedAt", "archivedAt"})
"""What answers tell beyond what can be written; sent back, it is overlooked."""


class ConfirmationNeeded(Conflict):
    """Something would lose what it names; say that you know."""

    code = "CONFIRMATION_REQUIRED"


def written(sent: Mapping[str, Any]) -> dict[str, Any]:
    """What was sent, without what only we write, its identifier under `key`. Raises FieldProblem."""
    body = {name: value for name, value in sent.items() if name not in KEPT_BY_US and name != "id"}
    identifier = sent.get("id")
    if identifier is None:
        return body
    if body.get("key") not in (None, identifier):
        raise FieldProblem("id", f"{shown(identifier)} is not the key {shown(body['key'])}; send one of them")
    return {**body, "key": identifier}


def changed(
    current: Mapping[str, Any],
    sent: Mapping[str, Any],
    spellings: Mapping[str, str],
    *,
    replace: bool,
    kept: Collection[str],
) -> dict[str, Any]:
    """The document an edit asks for. Raises FieldProblem.

    replace: fields not sent go back to their defaults, but for `kept`; otherwise they stay, null clears one, and objects
    are merged. spellings: other names of fields, and the name `current` has them under.
    """
    body = written(sent)
    if body.get("key") not in (None, current["key"]):
        raise FieldProblem(
            "key",
            f"cannot change from {shown(current['key'])} to {shown(body['key'])}: it is what others name",
        )
    said = {spellings.get(name, name) for name in body}
    stays = {name: value for name, value in current.items() if not replace or name in kept}
    merged = {name: value for name, value in stays.items() if name not in said} | body
    if not replace:
        for name, value in body.items():
            if isinstance(value, Mapping) and isinstance(current.get(name), Mapping):
                merged[name] = {
                    key: each for key, each in {**current[name], **value}.items() if each is not None
                }
    return {**merged, "key": current["key"]}


def confirmed(check: DeletionCheck, token: str | None, blocked: type[Conflict]) -> None:
    """Raises what `blocked` says, or ConfirmationNeeded."""
    if check.decision == BLOCK:
        raise blocked(check.sentence)
    if check.decision == WARN and token != check.confirm_token:
        how = "ask deletion-check, and repeat with ?confirm=<confirmToken>"
        was = "" if token is None else "the token is not for how things stand now; "
        raise ConfirmationNeeded(f"{check.sentence}; {was}{how}")
