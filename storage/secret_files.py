"""Secrets of this installation, in files only their owner reads. Put here: reading and writing them. Keep out: their use."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def operator_token(home: Path) -> str:
    """The token that lets an operator in at the control door; made on first use."""
    path = _folder(home) / "operator_token"
    with suppress(FileExistsError):
        _write_new(path, "afo_" + secrets.token_urlsafe(32))
    return path.read_text(encoding="utf-8").strip()


def reader_token(home: Path) -> str:
    """What the edge shows to the process that reads the lake for it; made on first use."""
    path = _folder(home) / "reader_token"
    with suppress(FileExistsError):
        _write_new(path, "rdr_" + secrets.token_urlsafe(32))
    return path.read_text(encoding="utf-8").strip()


def sealing_key(home: Path) -> bytes:
    """The 32 bytes that secrets at rest are sealed with; made on first use."""
    path = _folder(home) / "sealing_key"
    with suppress(FileExistsError):
        _write_new(path, secrets.token_hex(32))
    return bytes.fromhex(path.read_text(encoding="utf-8"))


def write_new_secret(home: Path, name: str, content: str) -> Path:
    """Write a secret that is not there yet. Raises FileExistsError."""
    path = _folder(home) / name
    _write_new(path, content)
    return path


def replace_secret(home: Path, name: str, content: str) -> Path:
    """Write a secret over the one that is there, whole or not at all."""
    path = _folder(home) / name
    fresh = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
    _write_new(fresh, content)
    return fresh.replace(path)


def remember_key_secrets(home: Path, tenant_id: str, by_name: Mapping[str, str]) -> Path:
    """Add API key secrets to `secrets/keys.json`, {tenant: {key name: secret}}; returns where that is."""
    path = _folder(home) / "keys.json"
    known: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known.setdefault(tenant_id, {}).update(by_name)
    fresh = path.with_name(f".keys.{os.getpid()}.{secrets.token_hex(4)}.json")
    _write_new(fresh, json.dumps(known, indent=2, sort_keys=True))
    fresh.replace(path)
    return path


def key_secrets(home: Path, tenant_id: str) -> dict[str, str]:
    """The tenant's API key secrets by key name, as far as they were issued here."""
    path = home / "secrets" / "keys.json"
    if not path.exists():
        return {}
    known: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return known.get(tenant_id, {})


def _folder(home: Path) -> Path:
    folder = home / "secrets"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _write_new(path: Path, content: str) -> None:
    """Write a file nobody else may read, whole or not at all."""
    if path.exists():
        raise FileExistsError(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(
        os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as stream:
        stream.write(content)
    try:
        os.link(partial, path)
    finally:
        partial.unlink()
