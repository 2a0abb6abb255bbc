"""Verifies an evidence archive, offline, with nothing but Python's standard library: `python verify.py [ARCHIVE.zip]`.

Put here: what the archive claims and a reader can check. Keep out: everything that is not in the archive; this very file is in it.
Inside an unpacked archive it needs no argument. Exit code 0: everything holds. 1: something does not, and which.
Compare the public key it prints with the one the issuer publishes at /.well-known/evidence-keys.json.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from collections.abc import Mapping
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
Point = tuple[int, int]


def _x_of(y: int, odd: int) -> int | None:
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and odd):
        return None
    return x if x % 2 == odd else _P - x


def _added(a: Point, b: Point) -> Point:
    (x1, y1), (x2, y2) = a, b
    t = _D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, _P)
    y = (y1 * y2 + x1 * x2) * pow(1 - t, -1, _P)
    return x % _P, y % _P


def _times(point: Point, number: int) -> Point:
    found: Point = (0, 1)
    while number:
        if number & 1:
            found = _added(found, point)
        point, number = _added(point, point), number >> 1
    return found


def _point(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    y, odd = number & (2**255 - 1), number >> 255
    x = _x_of(y, odd) if y < _P else None
    return None if x is None else (x, y)


_BASE_Y = 4 * pow(5, -1, _P) % _P
_BASE: Point = (_x_of(_BASE_Y, 0) or 0, _BASE_Y)


def signature_holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Ed25519 (RFC 8032), written for reading; it takes some hundredths of a second."""
    if len(public) != 32 or len(signature) != 64:
        return False
    key, commitment = _point(public), _point(signature[:32])
    answer = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or answer >= _L:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    return _times(_BASE, answer) == _added(commitment, _times(key, challenge))


def problems_of(files: Mapping[str, bytes]) -> list[str]:
    """What does not hold of an archive's files; nothing: everything does."""
    try:
        manifest = json.loads(files["manifest.json"])
        return [*_signed(files), *_whole(files, manifest), *_adds_up(files, manifest)]
    except (KeyError, ValueError, ArithmeticError) as error:
        return [f"the archive is not complete or not readable: {error!r}"]


def _signed(files: Mapping[str, bytes]) -> list[str]:
    said = json.loads(files["signature.json"])
    holds = signature_holds(
        bytes.fromhex(said["publicKey"]), files["manifest.json"], bytes.fromhex(said["signature"])
    )
    return [] if holds else ["the signature is not one of manifest.json under the public key given"]


def _whole(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> list[str]:
    known = {"manifest.json", "signature.json"}
    found = [f"{name} is not in the manifest" for name in sorted(set(files) - set(manifest["files"]) - known)]
    for name, digest in manifest["files"].items():
        if name not in files:
            found.append(f"{name} is missing")
        elif hashlib.sha256(files[name]).hexdigest() != digest:
            found.append(f"{name} has been changed: its SHA-256 is not the manifest's")
    if hashlib.sha256(files["content.json"]).hexdigest() != manifest["contentHash"]:
        found.append("content.json does not have the invoice's content hash")
    return found


def _adds_up(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> list[str]:
    content = json.loads(files["content.json"])
    invoice, lines = content["invoice"], content["lines"]
    events = [json.loads(line) for line in files["events.ndjson"].splitlines()]
    found = []

    def same(what: str, left: Decimal, right: Decimal) -> None:
        if left != right:
            found.append(f"{what}: {left} is not {right}")

    with localcontext() as context:
        context.prec = 60

        def total(name: str) -> Decimal:
            return sum((_number(line[name]) for line in lines), Decimal(0))

        same("lines and subtotal", total("amount") + total("commit_adjustment"), _number(invoice["subtotal"]))
        same("discounts of lines and invoice", total("discount"), _number(invoice["discount"]))
        parts = _number(invoice["subtotal"]) - _number(invoice["discount"]) + _number(invoice["tax"])
        same("subtotal - discount + tax and total", parts, _number(invoice["total"]))
        earned: dict[str, Decimal] = {}
        for event in events:
            if event["sha256"] != event_hash(event):
                found.append(f"event {event['idempotency_key']} does not have the SHA-256 it names")
            if event["disposition"] == "BILLABLE":
                earned[event["line_id"]] = earned.get(event["line_id"], Decimal(0)) + _number(
                    event["marginal_revenue"]
                )
        for line in lines:
            if line["line_id"] in earned:
                same(
                    f"events and line {line['line_id']}", earned[line["line_id"]], _number(line["unrounded"])
                )
        unknown = sorted(set(earned) - {line["line_id"] for line in lines})
    found += [f"events name line {line_id}, which the invoice does not have" for line_id in unknown]
    gates = [name for name, passed in json.loads(files["gates.json"]).items() if not passed["passed"]]
    return found + [f"the gate of {name} had not passed" for name in gates]


def event_hash(event: Mapping[str, Any]) -> str:
    """SHA-256 over an event's other fields, as JSON with sorted names and no spaces."""
    others = {name: value for name, value in event.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _number(text: str | None) -> Decimal:
    return Decimal(text or "0")


def files_of(path: Path) -> dict[str, bytes]:
    """The files of an archive, or of the folder it was unpacked into."""
    if path.is_dir():
        return {each.name: each.read_bytes() for each in sorted(path.iterdir()) if each.is_file()}
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def main(arguments: list[str]) -> int:
    """Check, say what was found, give the exit code."""
    files = files_of(Path(arguments[0]) if arguments else Path(__file__).parent)
    found = problems_of(files)
    say = sys.stdout.write
    if found:
        say("".join(f"DOES NOT HOLD: {each}\n" for each in found))
        return 1
    manifest, signature = json.loads(files["manifest.json"]), json.loads(files["signature.json"])
    say(
        f"Invoice {manifest['number']} of {manifest['tenantId']}: {manifest['total']} {manifest['currency']}, every check holds.\n"
    )
    say(f"Signed with key {signature['keyId']}, public key {signature['publicKey']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
