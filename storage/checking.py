"""Events of the log checked before they land in the lake. Put here: what becomes of one that is not what a door wrote. Keep out: MACs
(event_macs.py), draining (drain.py)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec

from domain.usage import LONGEST_TEXT
from storage.event_log import REJECTED, LogEntry, LogRecord, line_of
from storage.event_macs import DIFFERS, FITS, NO_KEYS, EventKeys, Origin, keys_here

MAC_MISMATCH, MAC_MISSING = "MAC_MISMATCH", "MAC_MISSING"
_DETAILS = {
    MAC_MISMATCH: "event: is not as a door wrote it into the log: its MAC does not fit, or its key is not known here",
    MAC_MISSING: "event: has no MAC, and AFORO_UNSIGNED_EVENTS=quarantine lets none pass without",
}
_REFUSED_AT_THE_DOOR = b'"x":"'
_decode = msgspec.json.Decoder(LogRecord).decode


@dataclass(frozen=True)
class Checking:
    """Whose MACs are good. takes_unsigned: whether events without one pass, such as those from before there were keys."""

    keys: EventKeys = NO_KEYS
    takes_unsigned: bool = True

    def checked(self, tenant_id: str, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """The entries; in the place of each event that does not pass stands a refused one, with the line as found for a payload."""
        if not self.keys:
            return list(entries)
        return [self._checked(tenant_id, entry) for entry in entries]

    def _checked(self, tenant_id: str, entry: LogEntry) -> LogEntry:
        lines = entry.body.split(b"\n") if entry.verdicts else []
        if len(lines) != len(entry.verdicts):
            return entry  # the drain says what is wrong with it
        origin = Origin(tenant_id, entry.received_at_us, entry.source, entry.key_id)
        failed = dict(self._failed(origin, lines, entry.verdicts))
        if not failed:
            return entry
        verdicts = "".join(REJECTED if at in failed else each for at, each in enumerate(entry.verdicts))
        body = b"\n".join(
            _refused(line, failed[at]) if at in failed else line for at, line in enumerate(lines)
        )
        return replace(entry, verdicts=verdicts, body=body)

    def _failed(self, origin: Origin, lines: Sequence[bytes], verdicts: str) -> Iterator[tuple[int, str]]:
        judged = self.keys.judge(origin)
        for at, line in enumerate(lines):
            found = judged(line)
            if found == FITS:
                if (_REFUSED_AT_THE_DOOR in line) != (verdicts[at] == REJECTED):
                    yield (
                        at,
                        MAC_MISMATCH,
                    )  # the verdict was turned round: the door says in the line why it refused
            elif found == DIFFERS:
                yield at, MAC_MISMATCH
            elif not self.takes_unsigned:
                yield at, MAC_MISSING


UNCHECKED = Checking()


def checking_here() -> Checking:
    """As the environment says: the keys of AFORO_HOME, and AFORO_UNSIGNED_EVENTS (accept or quarantine). Raises ValueError."""
    unsigned = os.environ.get("AFORO_UNSIGNED_EVENTS", "accept")
    if unsigned not in ("accept", "quarantine"):
        raise ValueError(f"AFORO_UNSIGNED_EVENTS: {unsigned!r} is neither accept nor quarantine")
    return Checking(keys_here(), unsigned == "accept")


def _refused(line: bytes, code: str) -> bytes:
    """A record that says nothing but what was found."""
    found = line.decode("utf-8", "replace")
    if code == MAC_MISSING:
        with suppress(msgspec.DecodeError):
            found = _decode(line).j  # as it was sent, so that an operator may send it again
    detail = _DETAILS[code][:LONGEST_TEXT]
    return line_of(LogRecord(None, None, None, None, None, None, None, False, code, detail, None, found))
