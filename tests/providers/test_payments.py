"""Payment providers: one contract, kept by Stripe's SDK against a server that answers as Stripe does, and by the manual one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from providers.payments import (
    FAILED,
    PENDING,
    SUCCEEDED,
    NoSuchProvider,
    Order,
    ProviderRefused,
    ProviderUnavailable,
    provider_of,
)

pytest.importorskip("stripe")
ORDER = Order(Decimal("12.50"), "EUR", "pm_card_visa", "cus_1", "acme:inv_1:1", "Invoice INV-1")


class FakeStripe(BaseHTTPRequestHandler):
    """Payment intents: the token says how one goes; the same idempotency key gets the same intent."""

    made: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    asked: list[dict[str, str]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        sent = {
            name: values[0]
            for name, values in parse_qs(
                self.rfile.read(int(self.headers["Content-Length"])).decode()
            ).items()
        }
        self.asked.append(sent)
        if self.headers["Authorization"] != "Bearer sk_test_right":
            return self._answer(
                401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key"}}
            )
        if sent["payment_method"] == "pm_card_chargeDeclined":
            return self._answer(402, {"error": {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds",
                                               "message": "Declined.", "payment_intent": {"id": "pi_9", "object": "payment_intent"}}})  # fmt: skip
        if sent["payment_method"] == "pm_down":
            return self._answer(500, {"error": {"type": "api_error", "message": "Sorry."}})
        key = self.headers["Idempotency-Key"]
        status = "processing" if sent["payment_method"] == "pm_sepa" else "succeeded"
        intent = self.made.setdefault(
            key, {"id": f"pi_{len(self.made) + 1}", "object": "payment_intent", "status": status}
        )
        return self._answer(200, intent)

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    FakeStripe.made, FakeStripe.asked = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeStripe)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def order(**fields: Any) -> Order:
    from dataclasses import replace

    return replace(ORDER, **fields)


@pytest.mark.parametrize("kind", ["MANUAL", "STRIPE"])
def test_the_same_key_is_one_payment(kind: str, url: str) -> None:
    provider = provider_of(kind, "sk_test_right", base_url=url)
    first, second = provider.charge(ORDER), provider.charge(ORDER)
    assert first == second and first.reference
    assert first.status in (SUCCEEDED, PENDING) and first.failure_code is None


def test_stripe_gets_minor_units_and_the_token(url: str) -> None:
    provider = provider_of("STRIPE", "sk_test_right", base_url=url)
    provider.charge(ORDER)
    provider.charge(order(amount=Decimal(500), currency="JPY", key="k2"))
    euros, yen = FakeStripe.asked
    assert (euros["amount"], euros["currency"], euros["payment_method"], euros["customer"]) == (
        "1250",
        "eur",
        "pm_card_visa",
        "cus_1",
    )
    assert yen["amount"] == "500"


def test_a_declined_card_is_an_outcome_and_not_an_error(url: str) -> None:
    outcome = provider_of("STRIPE", "sk_test_right", base_url=url).charge(
        order(token="pm_card_chargeDeclined")
    )
    assert (outcome.status, outcome.reference, outcome.failure_code) == (FAILED, "pi_9", "insufficient_funds")


def test_money_that_takes_days_is_pending(url: str) -> None:
    assert (
        provider_of("STRIPE", "sk_test_right", base_url=url).charge(order(token="pm_sepa")).status == PENDING
    )


def test_a_wrong_key_is_refused_and_an_outage_may_be_tried_again(url: str) -> None:
    with pytest.raises(ProviderRefused, match="Invalid API Key"):
        provider_of("STRIPE", "sk_test_wrong", base_url=url).charge(ORDER)
    with pytest.raises(ProviderUnavailable):
        provider_of("STRIPE", "sk_test_right", base_url=url).charge(order(token="pm_down"))
    with pytest.raises(ProviderUnavailable):
        provider_of("STRIPE", "sk_test_right", base_url="http://127.0.0.1:9").charge(ORDER)


def test_a_provider_nobody_knows_is_named() -> None:
    with pytest.raises(NoSuchProvider, match="PAYPAL"):
        provider_of("PAYPAL", "k")
