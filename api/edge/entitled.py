"""What a customer may use, worked out once. Put here: remembering what follows from rights until a period begins or ends.
Keep out: the rules (domain.entitlement), reading rights (known.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from api.exact_json import encode
from domain.access import CustomerRights, UnitRecord
from domain.entitlement import Grant, grants_of, next_change, summary


class Entitled:
    """One customer's rights, and what was asked of them so far. until: the instant from which on the answers may be others,
    epoch microseconds."""

    __slots__ = ("_asked_at", "_grants", "_summary", "_units", "rights", "until")

    def __init__(self, rights: CustomerRights, units: Mapping[str, UnitRecord], now: int) -> None:
        self.rights = rights
        self.until = next_change(rights, now)
        self._units = units
        self._asked_at = now
        self._grants: dict[str | None, Sequence[Grant]] = {}
        self._summary: msgspec.Raw | None = None

    def grants(self, wanted: str | None) -> Sequence[Grant]:
        """See `grants_of`. What grants nothing is not remembered: anybody can make up names."""
        found = self._grants.get(wanted)
        if found is None:
            found = grants_of(self.rights, self._units, self._asked_at, wanted)
            if found:
                self._grants[wanted] = found
        return found

    @property
    def summary(self) -> msgspec.Raw:
        """See `summary`; as JSON."""
        if self._summary is None:
            self._summary = msgspec.Raw(encode(summary(self.rights)))
        return self._summary
