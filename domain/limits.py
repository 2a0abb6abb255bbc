"""How many requests a key or a tenant may make. Put here: what a limit is and how it is written. Keep out: counting, HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

METER, INGEST, ACCESS, ENTITLEMENTS = "meter", "ingest", "access", "entitlements"
LOOKUP = "lookup"
"""Single events looked up, and live streams begun: answers that cost more than a counter."""
REFUSED = "refused"
"""Calls of a webhook source that are not signed by it."""
_WRITTEN = re.compile(r"([1-9]\d{0,9})(?:/(\d{1,10}))?(?:/(HARD|SOFT))?(?:/([1-9]\d{0,6})s)?", re.IGNORECASE)


class NotALimit(ValueError):
    """The text is no limit; the message says how one is written."""


class Limit(NamedTuple):
    """requests and, on top of them, burst within any `window` seconds. hard: refuses what is beyond, otherwise only says so."""

    requests: int
    burst: int = 0
    hard: bool = True
    window: int = 60

    @property
    def ceiling(self) -> int:
        return self.requests + self.burst

    def written(self, name: str) -> tuple[str, int, int, int]:
        """As the scripts take it."""
        return name, self.window, self.requests + self.burst, int(self.hard)

    def written_for(self, name: str, many: int) -> tuple[str, int, int, int, int]:
        """As the scripts take it, for so many requests at once: all of them, or none where not all have room."""
        return name, self.window, self.requests + self.burst, 1, many


class Counted(NamedTuple):
    """A request counted in a window: beyond it or not, requests left, when the window's stretch ends (epoch seconds), and
    after how many milliseconds there is room again."""

    over: bool
    remaining: int
    reset: int
    wait_ms: int


DEFAULTS: Mapping[str, Limit] = {
    METER: Limit(10_000, 1_000),
    INGEST: Limit(10_000, 1_000, hard=False),
    ACCESS: Limit(50_000, 5_000),
    ENTITLEMENTS: Limit(5_000, 500),
    LOOKUP: Limit(600, 60),
    REFUSED: Limit(60, 60),
}
"""For each key, a minute. Batches are sent by clients of which some drop what is refused: they are told, not turned away."""


def read_limit(text: str) -> Limit | None:
    """`requests[/burst][/HARD|SOFT][/<seconds>s]`, or `off` for none. Raises NotALimit."""
    if text.strip().lower() == "off":
        return None
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        raise NotALimit(f"{text!r} is no limit; write requests/burst/HARD such as 10000/1000/HARD, or off")
    requests, burst, mode, window = match.groups()
    return Limit(int(requests), int(burst or 0), (mode or "HARD").upper() == "HARD", int(window or 60))


def write_limit(limit: Limit | None) -> str:
    """As `read_limit` reads it."""
    if limit is None:
        return "off"
    return f"{limit.requests}/{limit.burst}/{'HARD' if limit.hard else 'SOFT'}/{limit.window}s"
