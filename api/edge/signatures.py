"""Signatures of webhooks, as each provider makes them. Put here: whether a call is its sender's, and from when. Keep out: what it
says, where secrets lie."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1, sha256
from urllib.parse import parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from domain.webhook_source import WebhookSource

HEADERS = (
    "stripe-signature", "x-twilio-signature", "x-twilio-email-event-webhook-signature",
    "x-twilio-email-event-webhook-timestamp", "x-hub-signature-256", "x-github-event", "x-github-delivery",
    "x-slack-signature", "x-slack-request-timestamp", "content-type",
)  # fmt: skip
"""What is looked at besides a source's own header."""


class BadSignature(Exception):
    """The call is not signed as its source signs; the message says what is wrong, never what would be right."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A call as it came. headers: by lower-case name. urls: where it may have been sent to, as its sender saw it."""

    headers: Mapping[str, str]
    body: bytes
    urls: Sequence[str]


def verify(source: WebhookSource, secret: str, call: Signed) -> int | None:
    """When the call was signed, epoch seconds; None where its signature does not say. Raises BadSignature."""
    return _SCHEMES[source.provider](source, secret, call)


def _generic(source: WebhookSource, secret: str, call: Signed) -> None:
    sent = _header(call, source.signature_header).removeprefix("sha256=")
    _compare([sent.lower()], _hex(secret, call.body))


def _stripe(source: WebhookSource, secret: str, call: Signed) -> int:
    parts = [part.partition("=") for part in _header(call, "stripe-signature").split(",")]
    stamp = next((value for name, _, value in parts if name.strip() == "t"), "")
    sent = [value for name, _, value in parts if name.strip() == "v1"]
    _compare(sent, _hex(secret, stamp.encode() + b"." + call.body))
    return _seconds(stamp)


def _github(source: WebhookSource, secret: str, call: Signed) -> None:
    sent = _header(call, "x-hub-signature-256").removeprefix("sha256=")
    _compare([sent], _hex(secret, call.body))


def _slack(source: WebhookSource, secret: str, call: Signed) -> int:
    stamp = _header(call, "x-slack-request-timestamp")
    base = b"v0:" + stamp.encode() + b":" + call.body
    _compare([_header(call, "x-slack-signature")], "v0=" + _hex(secret, base))
    return _seconds(stamp)


def _twilio(source: WebhookSource, secret: str, call: Signed) -> None:
    """The URL as called, and after it the form's fields by name; of a body that is no form the URL holds the hash."""
    sent = _header(call, "x-twilio-signature")
    fields = ""
    if call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        pairs = set(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
        fields = "".join(name + value for name, value in sorted(pairs))
    elif call.body:
        hashes = [v for n, v in parse_qsl(urlsplit(call.urls[0]).query) if n == "bodySHA256"]
        _compare(hashes, sha256(call.body).hexdigest())
    key = secret.encode()
    signed = [hmac.new(key, (url + fields).encode(), sha1).digest() for url in call.urls]
    good = [base64.b64encode(digest).decode() for digest in signed]
    if not any(hmac.compare_digest(sent.encode(), each.encode()) for each in good):
        raise BadSignature("the signature does not fit; is the public URL of the edge set?")


def _sendgrid(source: WebhookSource, secret: str, call: Signed) -> int:
    """The secret is the public key, as SendGrid shows it."""
    stamp = _header(call, "x-twilio-email-event-webhook-timestamp")
    try:
        key = load_der_public_key(base64.b64decode(secret))
        assert isinstance(key, ec.EllipticCurvePublicKey)
        sent = base64.b64decode(_header(call, "x-twilio-email-event-webhook-signature"))
        key.verify(sent, stamp.encode() + call.body, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError, AssertionError):
        raise BadSignature("the signature does not fit") from None
    return _seconds(stamp)


_SCHEMES: Mapping[str, Callable[[WebhookSource, str, Signed], int | None]] = {
    "GENERIC": _generic, "STRIPE": _stripe, "GITHUB": _github, "SLACK": _slack, "TWILIO": _twilio, "SENDGRID": _sendgrid,
}  # fmt: skip


def _header(call: Signed, name: str) -> str:
    sent = call.headers.get(name.lower(), "").strip()
    if not sent:
        raise BadSignature(f"the header {name} is missing")
    return sent


def _hex(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, sha256).hexdigest()


def _compare(sent: Sequence[str], right: str) -> None:
    """In a time that does not tell how much of it was right."""
    if not any(hmac.compare_digest(each.encode(), right.encode()) for each in sent):
        raise BadSignature("the signature does not fit")


def _seconds(stamp: str) -> int:
    if not stamp.isdecimal() or len(stamp) > 12:
        raise BadSignature(f"{stamp[:20]!r} is no time")
    return int(stamp)
