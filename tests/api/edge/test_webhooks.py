"""Webhooks: each provider's signature, the replay window, mapping, filter, repeats, and calls kept and sent through again."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import stripe
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from redis import Redis
from sendgrid.helpers.eventwebhook import EventWebhook
from slack_sdk.signature import SignatureVerifier
from twilio.request_validator import RequestValidator

from api.edge.signatures import BadSignature, Signed, verify
from domain.webhook_source import WebhookSource
from storage import event_log
from storage.sealed import Seal
from storage.webhook_calls import SourceRecord, publish_sources
from tests.api.edge.world import CUSTOMER_KEY, serving

SECRET = "whsec_0123456789abcdef"
GENERIC = WebhookSource(
    "Shop", None, "X-Shop-Signature", "hmac-sha256", "$.customer.id", "$.unit", "$.amount", "$.at"
)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(
    EC_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()
OF_PROVIDER: dict[str, tuple[WebhookSource, str]] = {
    "generic": (GENERIC, SECRET),
    "stripe": (
        replace(GENERIC, provider="STRIPE", customer_id_path="$.data.object.customer", metric_key_path=None, metric_key="tokens",
                quantity_path="$.data.object.quantity", timestamp_path="$.created", event_filter="invoice.paid, charge"),
        SECRET,
    ),
    "github": (
        replace(GENERIC, provider="GITHUB", customer_id_path="$.organization.login", metric_key_path=None, metric_key="api_calls",
                quantity_path=None, timestamp_path=None, event_filter="push,release.published"),
        SECRET,
    ),
    "slack": (
        replace(GENERIC, provider="SLACK", customer_id_path="$.team_id", metric_key_path=None, metric_key="api_calls",
                quantity_path=None, timestamp_path="$.event_time"),
        SECRET,
    ),
    "twilio": (
        replace(GENERIC, provider="TWILIO", customer_id_path="$.AccountSid", metric_key_path=None, metric_key="api_calls",
                quantity_path="$.NumSegments", timestamp_path=None),
        SECRET,
    ),
    "sendgrid": (
        replace(GENERIC, provider="SENDGRID", customer_id_path="$.customer", metric_key_path=None, metric_key="api_calls",
                quantity_path=None, timestamp_path="$.timestamp", event_filter="delivered"),
        PUBLIC,
    ),
}  # fmt: skip


@pytest.fixture
async def edge(redis: Redis, redis_url: str, home: Path) -> AsyncIterator[httpx.AsyncClient]:
    for name, (source, secret) in OF_PROVIDER.items():
        define(redis, home, f"whs_{name}", source, secret)
    async with serving(redis_url, home=str(home)) as client:
        yield client


def define(
    redis: Redis, home: Path, source_id: str, source: WebhookSource, secret: str, tenant: str = "t1"
) -> None:
    sealed = Seal.of(home).seal(secret, tenant_id=tenant, column="webhook_sources.secret")
    publish_sources(redis, tenant, {source_id: SourceRecord(source_id, tenant, sealed, source)})


def now() -> int:
    return int(time.time())


def hexed(message: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), message, sha256).hexdigest()


def generic(body: bytes, **_: Any) -> dict[str, str]:
    return {"X-Shop-Signature": f"sha256={hexed(body)}"}


def by_stripe(body: bytes, at: int | None = None) -> dict[str, str]:
    stamp = at or now()
    made = stripe.WebhookSignature._compute_signature(f"{stamp}.{body.decode()}", SECRET)
    return {"Stripe-Signature": f"t={stamp},v1={'0' * 64},v1={made},v0=old"}


def by_slack(body: bytes, at: int | None = None) -> dict[str, str]:
    stamp = str(at or now())
    return {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": str(SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=body)),
    }


def by_sendgrid(body: bytes, at: int | None = None) -> dict[str, str]:
    stamp = str(at or now())
    made = base64.b64encode(EC_KEY.sign(stamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    return {
        "X-Twilio-Email-Event-Webhook-Signature": made,
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
    }


def by_github(body: bytes, event: str = "push", delivery: str = "d-1") -> dict[str, str]:
    return {
        "X-Hub-Signature-256": "sha256=" + hexed(body),
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
    }


async def call(edge: httpx.AsyncClient, name: str, body: bytes, headers: dict[str, Any]) -> httpx.Response:
    bare = {"Authorization": "", "Content-Type": "application/json"}
    return await edge.post(f"/v1/ingest/webhook/whs_{name}", content=body, headers=bare | headers)


def order(**fields: Any) -> bytes:
    good = {"id": "o-1", "customer": {"id": "acme"}, "unit": "tokens", "amount": "2.5", "at": now()}
    return json.dumps(good | fields).encode()


def recorded(redis: Redis) -> list[dict[str, Any]]:
    return [json.loads(line) for e in event_log.read(redis, "t1") for line in e.body.split(b"\n")]


async def test_a_signed_call_is_metered_once(edge: httpx.AsyncClient, redis: Redis) -> None:
    body = order()
    first, again = [await call(edge, "generic", body, generic(body)) for _ in range(2)]
    assert (first.status_code, first.json()["accepted"], first.json()["verdict"]) == (202, 1, "ACCEPTED")
    assert (again.status_code, again.json()["duplicates"], again.json()["verdict"]) == (202, 1, "DUPLICATE")
    record = recorded(redis)[0]
    assert (record["c"], record["u"], record["q"]) == ("acme", "tokens", "2.5")
    assert record["k"] == "wh:whs_generic:o-1"
    assert event_log.read(redis, "t1")[0].source == "webhook:whs_generic"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Shop-Signature": ""},
        {"X-Shop-Signature": "0" * 64},
        {"X-Shop-Signature": "nönsense".encode()},
        generic(b"another body"),
        {"X-Hub-Signature-256": "sha256=" + hexed(order())},
    ],
)
async def test_a_call_signed_otherwise_is_turned_away_and_kept(
    edge: httpx.AsyncClient, redis: Redis, headers: dict[str, str]
) -> None:
    answer = await call(edge, "generic", order(), headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "BAD_SIGNATURE")
    kept = (await edge.get("/v1/ingest/webhook/whs_generic/calls")).json()["calls"]
    assert [each["verdict"] for each in kept] == ["BAD_SIGNATURE"] and event_log.pending(redis, "t1") == 0


async def test_stripe_signs_with_its_own_library(edge: httpx.AsyncClient, redis: Redis) -> None:
    sent = {
        "id": "evt_1", "type": "invoice.paid", "created": now(), "data": {"object": {"customer": "acme", "quantity": 3}},
    }  # fmt: skip
    body = json.dumps(sent).encode()
    stripe.Webhook.construct_event(body, by_stripe(body)["Stripe-Signature"], SECRET)
    assert (await call(edge, "stripe", body, by_stripe(body))).json()["accepted"] == 1
    again = json.dumps(
        sent | {"pending_webhooks": 2}
    ).encode()  # a retry is signed anew and may look a little different
    assert (await call(edge, "stripe", again, by_stripe(again))).json()["duplicates"] == 1
    other = json.dumps(sent | {"id": "evt_2", "type": "invoice.created"}).encode()
    assert (await call(edge, "stripe", other, by_stripe(other))).json() == (
        {"accepted": 0, "duplicates": 0, "failed": 0, "errors": [], "filtered": 1, "verdict": "FILTERED"}
        | {"callId": (await edge.get("/v1/ingest/webhook/whs_stripe/calls")).json()["calls"][0]["callId"]}
    )
    charge = json.dumps(sent | {"id": "evt_3", "type": "charge.succeeded"}).encode()
    assert (await call(edge, "stripe", charge, by_stripe(charge))).json()["accepted"] == 1
    assert [record["q"] for record in recorded(redis)] == ["3", "3", "3"]


@pytest.mark.parametrize("offset", [-301, 302])
@pytest.mark.parametrize("sign", [by_stripe, by_slack, by_sendgrid])
async def test_what_was_signed_too_long_ago_is_a_replay(
    edge: httpx.AsyncClient, redis: Redis, sign: Any, offset: int
) -> None:
    name = sign.__name__.removeprefix("by_")
    body = b'{"id":"1","event_id":"1","type":"invoice.paid","event":"delivered"}'
    answer = await call(edge, name, body, sign(body, now() + offset))
    assert (answer.status_code, answer.json()["code"]) == (401, "WEBHOOK_TOO_OLD")
    assert event_log.pending(redis, "t1") == 0


async def test_a_generic_call_is_as_old_as_its_event(edge: httpx.AsyncClient) -> None:
    for body, status in ((order(at=now() - 290), 202), (order(at=now() - 310), 401), (order(at=None), 202)):
        assert (await call(edge, "generic", body, generic(body))).status_code == status


async def test_github_is_known_by_delivery_and_filtered_by_event_and_action(edge: httpx.AsyncClient) -> None:
    body = b'{"organization":{"login":"acme"},"action":"published"}'
    assert (await call(edge, "github", body, by_github(body))).json()["accepted"] == 1
    assert (await call(edge, "github", body, by_github(body))).json()["duplicates"] == 1
    release = by_github(body, event="release", delivery="d-2")
    assert (await call(edge, "github", body, release)).json()["accepted"] == 1
    issue = by_github(body, event="issues", delivery="d-3")
    assert (await call(edge, "github", body, issue)).json()["verdict"] == "FILTERED"


async def test_slack_gets_its_challenge_back_and_is_metered(edge: httpx.AsyncClient, redis: Redis) -> None:
    hello = b'{"type":"url_verification","challenge":"abc"}'
    answer = await call(edge, "slack", hello, by_slack(hello))
    assert (answer.status_code, answer.json()) == (200, {"challenge": "abc"})
    assert (await call(edge, "slack", hello, {})).status_code == 401
    said = {"team_id": "acme", "event_id": "Ev1", "event_time": now(), "event": {"type": "app_mention"}}
    body = json.dumps(said).encode()
    assert (await call(edge, "slack", body, by_slack(body))).json()["accepted"] == 1
    assert json.loads(recorded(redis)[0]["j"])["webhook"]["type"] == "app_mention"


async def test_sendgrid_sends_many_events_signed_by_a_key_pair(edge: httpx.AsyncClient) -> None:
    mails = [
        {"sg_event_id": str(n), "event": "delivered" if n else "open", "timestamp": now(), "customer": "acme"}
        for n in range(3)
    ]
    body = json.dumps(mails).encode()
    signed = by_sendgrid(body)
    made, stamp = (signed[f"X-Twilio-Email-Event-Webhook-{name}"] for name in ("Signature", "Timestamp"))
    assert EventWebhook(PUBLIC).verify_signature(body.decode(), made, stamp), "their library takes it"
    answer = (await call(edge, "sendgrid", body, signed)).json()
    assert (answer["accepted"], answer["filtered"]) == (2, 1)
    spoiled = by_sendgrid(body) | {"X-Twilio-Email-Event-Webhook-Timestamp": str(now() - 1)}
    assert (await call(edge, "sendgrid", body, spoiled)).status_code == 401


async def test_twilio_signs_the_address_and_the_form(edge: httpx.AsyncClient, redis: Redis) -> None:
    async def sent(status: str, url: str) -> httpx.Response:
        fields = {
            "MessageSid": "SM1", "MessageStatus": status, "NumSegments": "2", "AccountSid": "acme", "Body": "Grüße & more",
        }  # fmt: skip
        made = RequestValidator(SECRET).compute_signature(url, fields)
        form = {"X-Twilio-Signature": made, "Content-Type": "application/x-www-form-urlencoded"}
        return await call(edge, "twilio", urlencode(fields).encode(), form)

    url = "http://edge/v1/ingest/webhook/whs_twilio"
    assert (await sent("sent", url)).json()["accepted"] == 1
    assert (await sent("delivered", url)).json()["accepted"] == 1
    assert (await sent("delivered", url)).json()["duplicates"] == 1
    assert (await sent("sent", url + "?other")).status_code == 401
    assert recorded(redis)[0]["q"] == "2"


async def test_behind_a_proxy_twilio_signs_the_public_address(
    redis: Redis, redis_url: str, home: Path
) -> None:
    define(redis, home, "whs_twilio", *OF_PROVIDER["twilio"])
    public = "https://usage.example.com"
    async with serving(redis_url, home=str(home), public_url=public) as edge:
        body = b'{"AccountSid":"acme","NumSegments":1}'
        query = f"?bodySHA256={sha256(body).hexdigest()}"
        path = f"/v1/ingest/webhook/whs_twilio{query}"
        made = RequestValidator(SECRET).compute_signature(public + path, {})
        headers = {"X-Twilio-Signature": made, "Content-Type": "application/json"}
        assert (await edge.post(path, content=body, headers=headers)).status_code == 202
        assert (await edge.post(path, content=body + b" ", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("provider", "secret", "headers", "body"),
    [  # as the providers' own manuals show them
        (
            "GITHUB", "It's a Secret to Everybody",
            {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}, b"Hello, World!",
        ),
        (
            "SLACK", "8f742231b10e8888abcd99yyyzzz85a5",
            {
                "x-slack-request-timestamp": "1531420618",
                "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            },
            b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
            b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
            b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d"
            b"10d2c447fce8b6703c",
        ),
    ],
)  # fmt: skip
def test_the_manuals_examples_verify(
    provider: str, secret: str, headers: dict[str, str], body: bytes
) -> None:
    source = replace(GENERIC, provider=provider)
    verify(source, secret, Signed(headers, body, []))
    with pytest.raises(BadSignature):
        verify(source, secret, Signed(headers, body + b"!", []))


async def test_unknown_sources_and_what_is_no_json(edge: httpx.AsyncClient) -> None:
    assert (await call(edge, "nobody", order(), {})).status_code == 404
    answer = await call(edge, "generic", b"{", generic(b"{"))
    assert (answer.status_code, answer.json()["code"]) == (400, "MALFORMED")
    large = b" " * (256 * 1024 + 1)
    assert (await call(edge, "generic", large, generic(large))).status_code == 413


async def test_a_failed_call_can_be_sent_through_again_and_counts_once(
    edge: httpx.AsyncClient, redis: Redis, home: Path
) -> None:
    body = order(unit="tokns")
    failed = (await call(edge, "generic", body, generic(body))).json()
    assert (failed["failed"], failed["verdict"]) == (1, "FAILED")
    wrong_secret = {"X-Shop-Signature": hexed(body, "new secret")}
    assert (await call(edge, "generic", body, wrong_secret)).status_code == 401
    path = "/v1/ingest/webhook/whs_generic/calls"
    turned_away, kept = (await edge.get(path)).json()["calls"]
    assert [turned_away["verdict"], kept["verdict"]] == ["BAD_SIGNATURE", "FAILED"]
    assert (await edge.get(f"{path}/{kept['callId']}")).json()["body"] == body.decode()
    define(redis, home, "whs_generic", replace(GENERIC, metric_key="tokens"), SECRET)
    replays = [(await edge.post(f"{path}/{kept['callId']}/replay")).json() for _ in range(2)]
    assert [each["verdict"] for each in replays] == ["ACCEPTED", "DUPLICATE"]
    define(redis, home, "whs_generic", replace(GENERIC, metric_key="tokens"), "new secret")
    again = await edge.post(f"{path}/{turned_away['callId']}/replay")
    assert (again.status_code, again.json()["verdict"]) == (202, "DUPLICATE")


async def test_calls_are_for_the_tenants_own_keys(edge: httpx.AsyncClient) -> None:
    path = "/v1/ingest/webhook/whs_generic/calls"
    customer = {"Authorization": f"Bearer {CUSTOMER_KEY}"}
    assert (await edge.get(path, headers=customer)).status_code == 403
    assert (await edge.get(path, headers={"Authorization": ""})).status_code == 401
    assert (await edge.get(f"{path}/1-1")).status_code == 404
    assert (await edge.post(f"{path}/+/replay")).status_code == 404


async def test_of_two_tenants_with_one_name_the_signer_is_meant(
    edge: httpx.AsyncClient, redis: Redis, home: Path
) -> None:
    define(redis, home, "whs_generic", GENERIC, "another's", tenant="t0")
    body = order()
    assert (await call(edge, "generic", body, generic(body))).json()["accepted"] == 1
    assert event_log.pending(redis, "t1") == 1 and event_log.pending(redis, "t0") == 0


async def test_guessing_signatures_ends_soon(edge: httpx.AsyncClient, redis: Redis) -> None:
    statuses = [(await call(edge, "generic", order(), {})).status_code for _ in range(125)]
    assert statuses == [401] * 120 + [429] * 5
    assert redis.xlen("webhook-refused:{t1}:whs_generic") == 100
    body = order()
    assert (await call(edge, "generic", body, generic(body))).status_code == 202
