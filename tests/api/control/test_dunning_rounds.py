"""What happens to unpaid invoices by itself: payments taken on their days, a reminder a step handed over once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from domain.message import Message
from providers.notifications import NotAccepted, NotCarried, OutboxFolder
from providers.payments import FAILED, PENDING, SUCCEEDED, Outcome
from storage.database import make_engine, session_scope
from storage.repositories.invoice_states import locate
from storage.services.invoice_upkeep import keep_invoices
from storage.services.messages import Carried, carry_messages
from storage.services.payment_rounds import Taking, take_payments
from storage.tables.invoices import InvoiceLineRow
from storage.tables.receivables import MessageRow
from storage.tenancy import tenant_tx
from tests.api.control.conftest import Api
from tests.api.control.subscription_world import SUBSCRIPTIONS, fill, subscribed
from tests.api.control.test_invoice_life import customer, one_off, shown

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def engine(api: Api) -> Iterator[Engine]:
    made = make_engine(api.database_url)
    yield made
    made.dispose()


def messages(api: Api) -> list[tuple[int, str, str]]:
    with session_scope(api.database_url) as session:
        query = select(MessageRow.step, MessageRow.status, MessageRow.recipient).order_by(MessageRow.step)
        return list(session.execute(query).tuples())


def test_each_step_has_one_message_which_waits_until_it_is_handed_over(
    api: Api, engine: Engine, tmp_path: Path
) -> None:
    invoice, start = one_off(api, dueDays=0), datetime.now(UTC)
    for _ in range(2):
        assert keep_invoices(engine, start + DAY).stuck == {}
    assert messages(api) == [(1, "WAITING", "pagos@lumen.example")]

    def nobody(message: Message) -> None:
        raise NotCarried(message.id, "no server")

    done = carry_messages(engine, nobody, start + DAY)
    assert (done.sent, list(done.stuck)) == (0, [f"acme/msg_{invoice['id']}_1"])
    outbox = OutboxFolder(tmp_path)
    assert carry_messages(engine, outbox.send, start + DAY) == Carried(), "it waits an hour"
    later = start + DAY + timedelta(hours=1)
    assert [carry_messages(engine, outbox.send, later).sent for _ in range(2)] == [1, 0]
    keep_invoices(engine, start + 7 * DAY)
    assert carry_messages(engine, outbox.send, start + 7 * DAY).sent == 1
    assert [status for _, status, _ in messages(api)] == ["SENT", "SENT"]
    first, second = sorted(tmp_path.glob("acme/*.eml"))
    mail = message_from_bytes(first.read_bytes())
    assert mail["To"] == "pagos@lumen.example" and invoice["number"] in str(mail["Subject"])
    assert "Still to be paid: 1000.00" in str(mail.get_payload())
    assert first.name != second.name


def test_a_message_that_cannot_be_handed_over_is_given_up_after_five_attempts(
    api: Api, engine: Engine
) -> None:
    one_off(api, dueDays=0)
    start = datetime.now(UTC)
    keep_invoices(engine, start + DAY)

    def nobody(message: Message) -> None:
        raise NotCarried(message.id, "no server")

    rounds = [carry_messages(engine, nobody, start + DAY + hours * HOUR) for hours in range(200)]
    assert [hour for hour, done in enumerate(rounds) if done.stuck] == [0, 1, 7, 31, 103]
    assert messages(api) == [(1, "FAILED", "pagos@lumen.example")]


def test_a_recipient_refused_for_good_is_not_tried_again(api: Api, engine: Engine) -> None:
    one_off(api, dueDays=0)
    start = datetime.now(UTC)
    keep_invoices(engine, start + DAY)

    def refused(message: Message) -> None:
        raise NotAccepted(message.id, message.recipient, "550 no such user")

    assert len(carry_messages(engine, refused, start + DAY).stuck) == 1
    assert carry_messages(engine, refused, start + 9 * DAY) == Carried()
    with session_scope(api.database_url) as session:
        row = session.scalars(select(MessageRow)).one()
        assert (row.status, row.attempts) == ("FAILED", 1) and "550" in str(row.error)


def test_a_paid_invoice_is_not_reminded_of_and_one_paid_in_part_of_what_is_left(
    api: Api, engine: Engine
) -> None:
    paid, in_part = (one_off(api, dueDays=0, customerId=customer(api, name=name)) for name in ("A", "B"))
    start = datetime.now(UTC)
    keep_invoices(engine, start + DAY)
    api.made(f"/api/v1/invoices/{paid['id']}/pay")
    api.made(f"/api/v1/invoices/{in_part['id']}/pay", {"amount": "400.00"})
    said: list[Message] = []
    done = carry_messages(engine, said.append, start + DAY)
    assert (done.sent, done.dropped) == (1, 1)
    assert in_part["number"] in said[0].subject and "Still to be paid: 600.00" in said[0].body


def test_of_two_reminders_that_wait_the_later_one_goes_out(api: Api, engine: Engine) -> None:
    one_off(api, dueDays=0)
    start = datetime.now(UTC)
    for day in (1, 7):
        keep_invoices(engine, start + day * DAY)
    assert carry_messages(engine, lambda _: None, start + 7 * DAY).sent == 1
    assert [status for _, status, _ in messages(api)] == ["DROPPED", "SENT"]


def test_a_customer_without_an_address_is_told_nothing_and_the_message_says_so(
    api: Api, engine: Engine
) -> None:
    invoice = one_off(api, dueDays=0)
    with session_scope(api.database_url) as session:
        row = locate(session, invoice["id"])
        assert row.appearance is not None
        row.appearance = {**row.appearance, "buyer": {"id": invoice["customerId"]}}
    keep_invoices(engine, datetime.now(UTC) + DAY)
    assert messages(api) == [(1, "UNDELIVERABLE", "")]


def with_card(api: Api) -> tuple[dict[str, Any], str]:
    """An unpaid invoice, due at once, of a customer with a card, for a subscription."""
    fill(api)
    subscription = subscribed(api)
    api.made("/api/v1/payment-gateways", {"gatewayType": "STRIPE", "apiKey": "sk_test_1", "primary": True})
    card = {"customerId": subscription["customerId"], "gatewayToken": "pm_card_visa", "methodType": "CARD"}
    api.made("/api/v1/payment-methods", {**card, "setAsDefault": True})
    return invoice_of(api, subscription), subscription["id"]


def invoice_of(api: Api, subscription: dict[str, Any]) -> dict[str, Any]:
    """An unpaid invoice, due at once, for the subscription."""
    invoice = one_off(api, dueDays=0, customerId=subscription["customerId"])
    with tenant_tx(api.database_url, "acme") as tx:
        row = locate(tx.session, invoice["id"], "acme")
        for line in tx.session.scalars(select(InvoiceLineRow).where(InvoiceLineRow.invoice_id == row.id)):
            line.subscription_id = subscription["id"]
    return invoice


def stands(api: Api, subscription: str) -> tuple[str, int]:
    found = api.get(f"{SUBSCRIPTIONS}/{subscription}").json()["data"]
    return found["status"], found["dunningAttempt"]


def test_payments_are_tried_on_day_0_3_and_7_and_then_the_subscription_is_suspended(
    api: Api, engine: Engine
) -> None:
    invoice, subscription = with_card(api)
    start = datetime.now(UTC)
    keys: list[str] = []

    def declined(tx: Any, gateway: Any, due: Any) -> Outcome:
        keys.append(due.key)
        return Outcome(FAILED, f"pi_{len(keys)}", "card_declined")

    seen = []
    for day in range(12):
        for _ in range(2):
            done = take_payments(engine, declined, start + day * DAY)
            assert done.stuck == {}
            if done != Taking():
                state = api.get(f"{SUBSCRIPTIONS}/{subscription}").json()["data"]["status"]
                seen.append((day, done.failed, state))
    assert seen == [(0, 1, "PAST_DUE"), (3, 1, "PAST_DUE"), (7, 1, "SUSPENDED")]
    assert len(set(keys)) == 3, "each attempt has its own key"
    assert [each["status"] for each in shown(api, invoice)["payments"]] == ["FAILED"] * 3


def test_money_makes_the_subscription_active_again_and_what_is_pending_is_waited_for(
    api: Api, engine: Engine
) -> None:
    invoice, subscription = with_card(api)
    start = datetime.now(UTC)
    answers = [Outcome(FAILED, "pi_1", "card_declined"), Outcome(SUCCEEDED, "pi_2")]
    assert take_payments(engine, lambda *_: answers[0], start).failed == 1
    assert take_payments(engine, lambda *_: answers[1], start + 3 * DAY).paid == 1
    assert shown(api, invoice)["status"] == "PAID"
    assert api.get(f"{SUBSCRIPTIONS}/{subscription}").json()["data"]["status"] == "ACTIVE"
    assert take_payments(engine, lambda *_: answers[1], start + 4 * DAY) == Taking()
    other = one_off(api, dueDays=0, customerId=invoice["customerId"])
    slow = Outcome(PENDING, "pi_3")
    assert [take_payments(engine, lambda *_: slow, start + DAY).pending for _ in range(2)] == [1, 0]
    assert shown(api, other)["status"] == "OPEN"


def test_two_unpaid_invoices_of_a_subscription_are_one_attempt(api: Api, engine: Engine) -> None:
    first, subscription = with_card(api)
    invoice_of(api, {"id": subscription, "customerId": first["customerId"]})
    start = datetime.now(UTC)
    seen = []
    for day in range(12):
        done = take_payments(engine, lambda *_: Outcome(FAILED, None, "card_declined"), start + day * DAY)
        if done != Taking():
            seen.append((day, done.failed, *stands(api, subscription)))
    assert seen == [(0, 2, "PAST_DUE", 1), (3, 2, "PAST_DUE", 2), (7, 2, "SUSPENDED", 3)]


def test_an_invoice_that_falls_due_in_between_waits_for_its_subscriptions_next_attempt(
    api: Api, engine: Engine
) -> None:
    first, subscription = with_card(api)
    start = datetime.now(UTC)
    declined = Outcome(FAILED, None, "card_declined")
    assert take_payments(engine, lambda *_: declined, start).failed == 1
    invoice_of(api, {"id": subscription, "customerId": first["customerId"]})
    assert take_payments(engine, lambda *_: declined, start + DAY) == Taking()
    assert take_payments(engine, lambda *_: declined, start + 3 * DAY).failed == 2
    assert stands(api, subscription) == ("PAST_DUE", 2)


def test_a_subscription_is_active_again_once_all_that_failed_is_paid_also_by_hand(
    api: Api, engine: Engine
) -> None:
    first, subscription = with_card(api)
    other = invoice_of(api, {"id": subscription, "customerId": first["customerId"]})
    start = datetime.now(UTC)
    declined = Outcome(FAILED, None, "card_declined")
    assert take_payments(engine, lambda *_: declined, start).failed == 2
    answers = iter([declined, Outcome(SUCCEEDED, "pi_1")])
    done = take_payments(engine, lambda *_: next(answers), start + 3 * DAY)
    assert (done.failed, done.paid, stands(api, subscription)) == (1, 1, ("PAST_DUE", 2))
    for each in (first, other):
        if shown(api, each)["status"] != "PAID":
            api.made(f"/api/v1/invoices/{each['id']}/pay")
    take_payments(engine, lambda *_: declined, start + 4 * DAY)
    assert stands(api, subscription) == ("ACTIVE", 0)


def test_attempts_begin_anew_once_a_suspended_subscription_is_resumed(api: Api, engine: Engine) -> None:
    _, subscription = with_card(api)
    start = datetime.now(UTC)
    declined = Outcome(FAILED, None, "card_declined")
    for day in (0, 3, 7):
        take_payments(engine, lambda *_: declined, start + day * DAY)
    api.made(f"{SUBSCRIPTIONS}/{subscription}/resume", {"reason": "a word with them"})
    assert stands(api, subscription) == ("ACTIVE", 0)
    assert take_payments(engine, lambda *_: declined, start + 8 * DAY).failed == 1
    assert stands(api, subscription) == ("PAST_DUE", 1)
