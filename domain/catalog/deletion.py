"""Whether something may be archived. Put here: the decision and what it rests on. Keep out: finding who depends on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ALLOW, WARN, BLOCK = "ALLOW", "WARN", "BLOCK"
SHOWN = 20
"""How many identifiers a reason lists; it counts all."""


@dataclass(frozen=True, slots=True)
class Reason:
    """What stands in the way, or would lose something. code: such as ACTIVE_SUBSCRIPTIONS. count: of all; ids: sorted, all of
    them unless it blocks."""

    code: str
    message: str
    count: int
    ids: tuple[str, ...]
    blocks: bool = False

    def shown(self) -> dict[str, object]:
        """As an answer tells it."""
        return {
            "code": self.code,
            "message": self.message,
            "count": self.count,
            "ids": list(self.ids[:SHOWN]),
        }


@dataclass(frozen=True, slots=True)
class DeletionCheck:
    """confirm_token: what a deletion must carry where the decision is WARN. It is made from what the check found, so it goes
    stale when that changes: nobody confirms what they have not seen."""

    decision: str
    reasons: tuple[Reason, ...]
    confirm_token: str | None = None

    def shown(self) -> dict[str, object]:
        """As an answer tells it."""
        told: dict[str, object] = {
            "decision": self.decision,
            "reasons": [reason.shown() for reason in self.reasons],
        }
        return told | ({"confirmToken": self.confirm_token} if self.confirm_token else {})

    @property
    def sentence(self) -> str:
        return "; ".join(reason.message for reason in self.reasons)


def judged(identity: Sequence[object], reasons: Iterable[Reason]) -> DeletionCheck:
    """The decision: BLOCK if any reason blocks, WARN if there is any reason, else ALLOW.

    identity: what is to be archived (tenant, noun, id, revision, …); the token is good for nothing else.
    """
    found = tuple(reason for reason in reasons if reason.count)
    if any(reason.blocks for reason in found):
        return DeletionCheck(BLOCK, found)
    if not found:
        return DeletionCheck(ALLOW, ())
    said = json.dumps([*map(str, identity), [[reason.code, *reason.ids] for reason in found]])
    return DeletionCheck(WARN, found, hashlib.sha256(said.encode()).hexdigest()[:32])
