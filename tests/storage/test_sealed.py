"""Secrets at rest: sealed for one tenant and one column, under a key only the owner reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.sealed import CannotOpen, Seal


def test_what_is_sealed_opens_for_its_tenant_and_column_only(home: Path) -> None:
    seal = Seal.of(home)
    sealed = seal.seal("sk_test_1", tenant_id="acme", column="a.b")
    assert seal.open(sealed, tenant_id="acme", column="a.b") == "sk_test_1"
    for tenant_id, column in (("rival", "a.b"), ("acme", "a.c")):
        with pytest.raises(CannotOpen, match=tenant_id):
            seal.open(sealed, tenant_id=tenant_id, column=column)


def test_the_same_secret_never_looks_the_same_sealed(home: Path) -> None:
    seal = Seal.of(home)
    assert len({seal.seal("s", tenant_id="acme", column="a.b") for _ in range(20)}) == 20
    assert "sk_test_1" not in seal.seal("sk_test_1", tenant_id="acme", column="a.b")


def test_the_key_is_made_once_and_only_its_owner_reads_it(home: Path) -> None:
    sealed = Seal.of(home).seal("s", tenant_id="acme", column="a.b")
    assert Seal.of(home).open(sealed, tenant_id="acme", column="a.b") == "s"
    key = home / "secrets" / "sealing_key"
    assert key.stat().st_mode & 0o777 == 0o600


def test_tampering_shows(home: Path) -> None:
    seal = Seal.of(home)
    sealed = seal.seal("s", tenant_id="acme", column="a.b")
    swapped = sealed[:-4] + ("A" if sealed[-4] != "A" else "B") + sealed[-3:]
    for broken in (swapped, "v1.", "", "v1.%%%"):
        with pytest.raises(CannotOpen):
            seal.open(broken, tenant_id="acme", column="a.b")
