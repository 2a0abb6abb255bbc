"""Proof that an event is what a door of ours wrote. Put here: the keys, putting an HMAC-SHA256 on each line of a log entry, checking it.
Keep out: the log (event_log.py), what becomes of an event whose MAC does not fit (drain.py).

The MAC covers tenant, time of receipt, source, API key id and the line without its `m`, which is always the line's last member:
`"m":"<key id>.<base64>"`. The log's verdict is not covered; it is decided later, and the lake decides again.

Keys are in `secrets/event_keys.json` of the data folder, by id; the current one signs, all of them are good for checking.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storage.secret_files import replace_secret, write_new_secret

_FILE = "event_keys.json"
_BLOCK = 64
_MARK = b',"m":"'
FITS, DIFFERS, UNSIGNED = "FITS", "DIFFERS", "UNSIGNED"


@dataclass(frozen=True, slots=True)
class Origin:
    """What all events of a log entry have in common. received_at: epoch microseconds."""

    tenant_id: str
    received_at: int
    source: str
    key_id: str

    def prefix(self) -> bytes:
        return f"{self.tenant_id}\0{self.received_at}\0{self.source}\0{self.key_id}\0".encode()


class EventKey:
    """One key. What does not depend on the message is hashed once."""

    def __init__(self, key_id: str, secret: bytes) -> None:
        self.id = key_id
        self._head = f"{key_id}.".encode()
        block = secret.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(each ^ 0x36 for each in block))
        self._outer = hashlib.sha256(bytes(each ^ 0x5C for each in block))

    def begun(self, origin: Origin) -> Callable[[bytes], bytes]:
        """What makes the MACs of one entry's lines; a line has none yet."""
        begun, end, head = self._inner.copy(), self._outer, self._head
        begun.update(origin.prefix())

        def mac_of(line: bytes) -> bytes:
            inner, outer = begun.copy(), end.copy()
            inner.update(line)
            outer.update(inner.digest())
            return head + b2a_base64(outer.digest(), newline=False)

        return mac_of

    def signed(self, origin: Origin, lines: Iterable[bytes]) -> bytes:
        """The lines of an entry, each (a JSON object) with its MAC as the last member."""
        mac_of = self.begun(origin)
        parts: list[bytes] = []
        for line in lines:
            parts += line[:-1], _MARK, mac_of(line), b'"}\n'
        return b"".join(parts)[:-1]

    def mac(self, origin: Origin, line: bytes) -> str:
        """The MAC of a line that has none."""
        return self.begun(origin)(line).decode()


class EventKeys:
    """The keys of an installation. Without any, nothing is signed and nothing is checked."""

    def __init__(self, current: str | None, keys: Mapping[str, bytes]) -> None:
        self._keys = {key_id: EventKey(key_id, secret) for key_id, secret in keys.items()}
        self.current = self._keys[current] if current is not None else None

    def __bool__(self) -> bool:
        return bool(self._keys)

    def judge(self, origin: Origin) -> Callable[[bytes], str]:
        """What tells of each line of one entry: FITS, DIFFERS (also where the key is not known) or UNSIGNED."""
        ready = {key_id.encode(): key.begun(origin) for key_id, key in self._keys.items()}

        def judged(line: bytes) -> str:
            content, mark, told = line.rpartition(_MARK)
            if not mark or told[-2:] != b'"}':
                return UNSIGNED
            mac_of = ready.get(told[: told.find(b".")])
            if mac_of is None:
                return DIFFERS
            return FITS if hmac.compare_digest(mac_of(content + b"}"), told[:-2]) else DIFFERS

        return judged

    def fits(self, origin: Origin, line: bytes, mac: str) -> bool:
        """Whether this is the MAC of a line that has none."""
        key = self._keys.get(mac.partition(".")[0])
        return key is not None and hmac.compare_digest(key.mac(origin, line).encode(), mac.encode())


NO_KEYS = EventKeys(None, {})


def event_keys(home: Path, *, make: bool = False) -> EventKeys:
    """The keys of this data folder. make: the first one, where there is none."""
    if make and not _path(home).exists():
        with suppress(FileExistsError):
            key_id = _new_id()
            write_new_secret(home, _FILE, _written(key_id, {key_id: secrets.token_hex(32)}))
    try:
        told = json.loads(_path(home).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return NO_KEYS
    return EventKeys(told["current"], {key_id: bytes.fromhex(key) for key_id, key in told["keys"].items()})


def rotate_event_key(home: Path) -> str:
    """Sign with a new key from now on; the doors take it up within seconds. Returns its id. What was signed before stays good."""
    event_keys(home, make=True)
    told = json.loads(_path(home).read_text(encoding="utf-8"))
    key_id = _new_id()
    replace_secret(home, _FILE, _written(key_id, {**told["keys"], key_id: secrets.token_hex(32)}))
    return key_id


def keys_here() -> EventKeys:
    """The keys of the data folder this process works over (AFORO_HOME); none where it has no folder."""
    home = os.environ.get("AFORO_HOME")
    return event_keys(Path(home)) if home else NO_KEYS


def signing_key_here() -> EventKey | None:
    """What commands and the management door sign with; None: nothing."""
    return keys_here().current


def _path(home: Path) -> Path:
    return home / "secrets" / _FILE


def _new_id() -> str:
    return "ek" + secrets.token_hex(4)


def _written(current: str, keys: Mapping[str, str]) -> str:
    return json.dumps({"current": current, "keys": dict(keys)}, indent=1)
