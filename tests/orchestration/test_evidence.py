"""An archive that proves an invoice, and what its own script says when somebody has been at it."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from deltalake import write_deltalake

from domain.instant import micros
from stack.commands.evidence import gates_of
from storage.database import session_scope
from storage.event_macs import Origin, event_keys
from storage.evidence import EvidenceChanged, archive, find
from storage.evidence_key import evidence_keys
from storage.evidence_verify import problems_of, signature_holds
from storage.raw_macs import record_line
from storage.repositories.invoice_states import InvoiceStates
from tests.scenarios import MARCH, event
from tests.world import World


def packed(world: World, home: Path) -> bytes:
    with session_scope(world.database_url) as session:
        found = find(session, world.lake, "INV-2026-0001", "acme")
        return archive(found, gates_of(world.lake, found), home)


def files(data: bytes) -> dict[str, bytes]:
    with ZipFile(BytesIO(data)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_an_invoice_proves_itself_offline_also_after_late_events(billed: World, tmp_path: Path, home: Path):
    with session_scope(billed.database_url) as session:
        InvoiceStates(session, "acme").finalize("INV-2026-0001")
    before = packed(billed, home)
    assert packed(billed, home) == before, "the same invoice gives the same bytes"

    found = files(before)
    assert problems_of(found) == []
    assert len(found["events.ndjson"].splitlines()) == 7
    published = evidence_keys(home)["keys"][0]["publicKey"]
    assert json.loads(found["signature.json"])["publicKey"] == published
    (tmp_path / "verify.py").write_bytes(found["verify.py"])
    (tmp_path / "proof.zip").write_bytes(before)
    said = subprocess.run(
        [sys.executable, "-I", "verify.py", "proof.zip"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (said.returncode, "22.75 USD, every check holds" in said.stdout) == (0, True), said

    late = event("ada", "gigabytes", 100, "2026-03-20T00:00:00Z", "late")
    billed.send("acme", [late], received="2026-04-02T00:00:00")
    billed.ingest()
    billed.close(MARCH)
    after = files(packed(billed, home))
    assert after["events.ndjson"] == found["events.ndjson"], (
        "the events it was billed from, not those of today"
    )
    assert problems_of(after) == []


def test_an_archive_somebody_has_been_at_does_not_hold(billed: World, home: Path):
    good = files(packed(billed, home))
    bad_event = good["events.ndjson"].replace(b'"quantity": "8.500000000"', b'"quantity": "9.500000000"')
    assert bad_event != good["events.ndjson"]
    for name, data in (
        ("events.ndjson", bad_event),
        ("content.json", good["content.json"].replace(b"22.75", b"12.75")),
    ):
        assert any(name in problem for problem in problems_of({**good, name: data})), name
    assert any(
        "signature" in each for each in problems_of({**good, "manifest.json": good["manifest.json"] + b" "})
    )
    assert problems_of({**good, "more.txt": b""}) == ["more.txt is not in the manifest"]
    assert "not complete" in problems_of({"manifest.json": b"{}"})[0]


def test_what_cannot_be_found_again_is_not_proved(billed: World, home: Path):
    rows = billed.rows("billing_terms", month=MARCH)
    from storage.scope import Scope

    billed.lake.replace(
        "billing_terms", rows.with_columns(plan_version=rows["plan_version"] + 1), Scope(MARCH)
    )
    with session_scope(billed.database_url) as session, pytest.raises(EvidenceChanged, match="INV-2026-0001"):
        find(session, billed.lake, "INV-2026-0001", "acme")


def test_the_archives_own_check_of_signatures_agrees_with_a_library():
    for seed in range(3):
        key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        public, message = key.public_key().public_bytes_raw(), b"a manifest" * seed
        signature = key.sign(message)
        assert signature_holds(public, message, signature)
        assert not signature_holds(public, message + b".", signature)
        assert not signature_holds(public, message, signature[:-1] + bytes([signature[-1] ^ 1]))
        assert not signature_holds(bytes([seed + 5]) * 32, message, signature)
    assert not signature_holds(b"", b"", b"")


def test_an_event_changed_in_the_lake_is_noticed_by_its_mac(billed: World, home: Path):
    key = event_keys(home, make=True).current
    assert key is not None
    raw = billed.rows("raw_events")
    macs = [
        key.mac(Origin(row["tenant_id"], micros(row["received_at"]), row["source"], row["key_id"]), record_line(row))
        for row in raw.iter_rows(named=True)
    ]  # fmt: skip
    signed = raw.with_columns(mac=pl.Series(macs))
    write_deltalake(billed.lake.path("raw_events"), signed, mode="overwrite")

    def proved() -> dict[str, bytes]:
        with session_scope(billed.database_url) as session:
            found = find(session, billed.lake, "INV-2026-0001", "acme", event_keys(home))
            return files(archive(found, gates_of(billed.lake, found), home))

    archived = proved()
    assert problems_of(archived) == []
    assert json.loads(archived["manifest.json"])["eventsWithMac"] == 7
    bigger = signed.with_columns(
        quantity=pl.when(pl.col("idempotency_key") == "ada-gb-1").then(pl.col("quantity") * 2).otherwise("quantity")
        .cast(signed["quantity"].dtype)
    )  # fmt: skip
    write_deltalake(billed.lake.path("raw_events"), bigger, mode="overwrite")
    with pytest.raises(EvidenceChanged, match="its MAC does not fit"):
        proved()
