"""Which code billed. Put here: the version of the rules that make an invoice. Keep out: anything an invoice is made from."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import domain
import transforms


@cache
def code_version() -> str:
    """`<release>+<12 hex>`: the release, and a hash of every file of the rules (domain and transforms), so that two
    installations with the same version compute the same."""
    seen = sha256()
    for package in (domain, transforms):
        folder = Path(package.__path__[0])
        for file in sorted(folder.rglob("*.py")):
            seen.update(f"{folder.name}/{file.relative_to(folder).as_posix()}\0".encode())
            seen.update(file.read_bytes())
    return f"{_release()}+{seen.hexdigest()[:12]}"


def _release() -> str:
    try:
        return version("aforo")
    except PackageNotFoundError:
        return "0"
