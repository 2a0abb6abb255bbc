"""The keys tokens are signed with. Put here: making, keeping and rotating them. Keep out: what tokens say (domain.token).

`secrets/token_keys.json` of the data folder, readable by its owner only: the key that signs, and the public halves of those
before it, which go on being published so that tokens signed with them stay good.
"""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm

from storage.secret_files import replace_secret, write_new_secret

_NAME = "token_keys.json"
_BITS = 2048
_KEPT = 2
"""How many public keys stay published after they signed their last token."""


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """kid, private: the key that signs. public: all published keys as JWKs, the signing one first."""

    kid: str
    private: rsa.RSAPrivateKey
    public: tuple[dict[str, Any], ...]


def token_keys(home: Path) -> TokenKeys:
    """The keys of this installation, made on first use."""
    path = home / "secrets" / _NAME
    if not path.exists():
        with suppress(FileExistsError):
            write_new_secret(home, _NAME, json.dumps(_made(())))
    return _read(path, path.stat().st_mtime_ns)


def rotate_token_keys(home: Path) -> TokenKeys:
    """Sign with a new key from now on."""
    before = token_keys(home)
    path = replace_secret(home, _NAME, json.dumps(_made(before.public[:_KEPT])))
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> TokenKeys:
    kept = json.loads(path.read_text(encoding="utf-8"))
    private = load_pem_private_key(kept["private"].encode(), password=None)
    assert isinstance(private, rsa.RSAPrivateKey)
    return TokenKeys(kept["public"][0]["kid"], private, tuple(kept["public"]))


def _made(before: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    jwk: dict[str, Any] = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    public = {
        "kty": "RSA", "n": jwk["n"], "e": jwk["e"], "kid": "tk_" + secrets.token_hex(8), "use": "sig", "alg": "RS256",
    }  # fmt: skip
    return {"private": pem.decode(), "public": [public, *before]}
