"""What was last found of counters, and whether Redis may be asked. Put here: what access answers from while Redis is gone.
Keep out: keys and rights as last known (known.py), the decision."""

from __future__ import annotations

import time

from storage.access_state import Found

_MOST_CUSTOMERS = 50_000
_PAUSE = 1.0
_NOTHING = Found({}, {})


class Snapshot:
    """One process' memory of what it answered from. While Redis is gone, one request a second tries it; the others need not wait."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], Found] = {}
        self._retry_at = 0.0

    def is_cut_off(self) -> bool:
        """Whether Redis did not answer a moment ago. The first to ask after that gets no for an answer, and tries."""
        now = time.monotonic()
        if self._retry_at == 0.0:
            return False
        if now < self._retry_at:
            return True
        self._retry_at = now + _PAUSE
        return False

    def lost(self) -> None:
        self._retry_at = time.monotonic() + _PAUSE

    def found(self) -> None:
        self._retry_at = 0.0

    def keep(self, tenant_id: str, customer: str, found: Found) -> None:
        """Remember counters; those of other fields stay as they were."""
        name = (tenant_id, customer)
        before = self._last.get(name)
        if before is not None and before.counted.keys() - found.counted.keys():
            found = Found({**before.counted, **found.counted}, {**before.held, **found.held}, found.margin)
        elif before is None and len(self._last) >= _MOST_CUSTOMERS:
            self._last.clear()
        self._last[name] = found

    def last(self, tenant_id: str, customer: str) -> Found:
        """The counters as last found; none: as if nothing had been used."""
        return self._last.get((tenant_id, customer), _NOTHING)
