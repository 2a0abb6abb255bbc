"""The key evidence is signed with. Put here: making, keeping and publishing it. Keep out: what is signed (evidence.py)."""

from __future__ import annotations

import secrets
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage.secret_files import write_new_secret

_KEY_FILE = "evidence_key"


def evidence_keys(home: Path) -> dict[str, Any]:
    """The public key archives are signed with, as it is published."""
    public = _key(home).public_key().public_bytes_raw()
    return {"keys": [{"keyId": _key_id(public), "algorithm": "Ed25519", "publicKey": public.hex()}]}


def signature_of(home: Path, message: bytes) -> dict[str, str]:
    """The signature of a message, with the public key that checks it."""
    key = _key(home)
    public = key.public_key().public_bytes_raw()
    return {
        "algorithm": "Ed25519",
        "keyId": _key_id(public),
        "publicKey": public.hex(),
        "signature": key.sign(message).hex(),
    }


def _key(home: Path) -> Ed25519PrivateKey:
    """The key of this installation, made on first use."""
    path = home / "secrets" / _KEY_FILE
    if not path.exists():
        with suppress(FileExistsError):
            write_new_secret(home, _KEY_FILE, secrets.token_hex(32))
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text(encoding="utf-8").strip()))


def _key_id(public: bytes) -> str:
    return "ek_" + sha256(public).hexdigest()[:16]
