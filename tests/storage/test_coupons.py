"""Coupons: limits that hold however many redeem at once, and what an attached coupon promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.catalog.fields import CatalogRefused, FieldProblem
from domain.coupon import CouponNotValid, Discount
from domain.errors import AforoError
from storage.database import session_scope
from storage.repositories.coupons import CouponRepository
from storage.repositories.terms import frozen_terms
from storage.services.coupons import (
    CouponAlreadyAttached,
    CouponCodeTaken,
    CouponExhausted,
    CouponLimitReached,
    CouponNotFound,
    CouponRedeemed,
    Coupons,
    SubscriptionOver,
)
from storage.services.known_customers import CustomerUnknown
from storage.tenancy import Tx, tenant_tx
from tests.storage.worlds import acme, applied

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
TENTH = {
    "code": "TENTH",
    "name": "A tenth off",
    "discountType": "PERCENTAGE",
    "discountValue": "0.10",
    "duration": "ONCE",
}
ANN = {"code": "TENTH", "subscriptionId": "sub_ann"}


@pytest.fixture
def shop(engine: Engine) -> Engine:
    with session_scope(engine) as session:
        applied(session, acme())
    return engine


@pytest.fixture
def tx(shop: Engine) -> Iterator[Tx]:
    with tenant_tx(shop, "acme", at=NOON) as found:
        yield found


def many_customers(engine: Engine, count: int) -> None:
    with session_scope(engine) as session:
        customers = [{"id": f"c{n}"} for n in range(count)]
        subscriptions = [
            {"id": f"s{n}", "customer": f"c{n}", "offering": "pro", "startDate": "2023-11-01"}
            for n in range(count)
        ]
        applied(session, acme(customers=customers, subscriptions=subscriptions, keys=[]))


def outcome(engine: Engine, customer: str, sent: dict[str, Any]) -> str:
    try:
        with tenant_tx(engine, "acme", at=NOON) as tx:
            Coupons(tx).redeem(customer, sent)
    except AforoError as error:
        return error.code
    return "WON"


def test_of_a_thousand_redeeming_a_one_use_coupon_at_once_exactly_one_wins(engine: Engine) -> None:
    many_customers(engine, 50)
    with tenant_tx(engine, "acme", at=NOON) as tx:
        coupon = Coupons(tx).create({**TENTH, "maxRedemptions": 1})
    attempts = [(f"c{n % 50}", {"code": "TENTH", "subscriptionId": f"s{n % 50}"}) for n in range(1000)]
    with ThreadPoolExecutor(16) as pool:
        found = Counter(pool.map(lambda attempt: outcome(engine, *attempt), attempts))
    assert found == {"WON": 1, "COUPON_EXHAUSTED": 999}
    with tenant_tx(engine, "acme") as tx:
        assert Coupons(tx).get(coupon.id).redemption_count == 1


def test_a_customer_redeeming_many_times_at_once_gets_no_more_than_one_may(shop: Engine) -> None:
    with tenant_tx(shop, "acme", at=NOON) as tx:
        Coupons(tx).create(TENTH)
    with ThreadPoolExecutor(8) as pool:
        found = Counter(pool.map(lambda _: outcome(shop, "ann", ANN), range(40)))
    assert found == {"WON": 1, "COUPON_LIMIT_REACHED": 39}


def test_the_database_itself_keeps_the_limit(shop: Engine) -> None:
    with tenant_tx(shop, "acme", at=NOON) as tx:
        Coupons(tx).create({**TENTH, "maxRedemptions": 1})
    with pytest.raises(IntegrityError, match="within_limit"), session_scope(shop) as session:
        session.execute(text("UPDATE coupons SET redemption_count = 2"))


def test_a_code_is_one_coupons_even_after_archiving(tx: Tx) -> None:
    coupons = Coupons(tx)
    coupons.archive(coupons.create(TENTH).id)
    with pytest.raises(CouponCodeTaken, match="TENTH"):
        coupons.create(TENTH)
    with pytest.raises(CouponNotFound):
        coupons.redeem("ann", ANN)


def test_what_was_promised_outlives_an_edit_and_the_archive(tx: Tx) -> None:
    coupons = Coupons(tx)
    coupon = coupons.create(TENTH)
    redemption = coupons.redeem("ann", ANN)
    with pytest.raises(CouponRedeemed, match="discountValue"):
        coupons.edit(coupon.id, {"discountValue": "0.5"})
    coupons.edit(coupon.id, {"name": "Ten percent", "maxRedemptionsPerCustomer": 2})
    coupons.archive(coupon.id)
    assert coupons.get(coupon.id).revision == 3
    assert str(redemption.discount_value) == "0.100000000000"


def test_an_edit_keeps_what_it_does_not_mention_and_null_clears(tx: Tx) -> None:
    coupons = Coupons(tx)
    coupon = coupons.create({**TENTH, "maxRedemptions": 5, "appliesTo": ["pro"], "description": "x"})
    edited = coupons.edit(coupon.id, {"maxRedemptions": None, "description": None, "discountValue": "0.2"})
    assert (edited.max_redemptions, edited.description, edited.revision) == (None, None, 2)
    assert coupons.offerings([edited]) == {coupon.id: ("pro",)}
    assert coupons.edit(coupon.id, {"name": coupon.name}).revision == 2


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"validFrom": "2024-04-01T00:00:00Z"}, "only from 2024-04-01"),
        ({"validUntil": "2024-03-15T12:00:00Z"}, "only until 2024-03-15"),
        (
            {"discountType": "FIXED_AMOUNT", "discountValue": "5", "currency": "EUR"},
            "takes off EUR, but the subscription is billed in USD",
        ),
    ],
)
def test_a_coupon_that_is_not_valid_here_and_now_is_not_redeemed(
    tx: Tx, given: dict[str, Any], complaint: str
) -> None:
    Coupons(tx).create({**TENTH, **given})
    with pytest.raises(CouponNotValid, match=complaint):
        Coupons(tx).redeem("ann", ANN)


def test_only_a_customers_own_live_subscription_takes_a_coupon(tx: Tx) -> None:
    coupons = Coupons(tx)
    coupons.create(TENTH)
    with pytest.raises(CustomerUnknown):
        coupons.redeem("nobody", ANN)
    with pytest.raises(FieldProblem, match="sub_ann is no subscription of bob"):
        coupons.redeem("bob", ANN)
    tx.session.execute(text("UPDATE subscriptions SET status = 'CANCELLED' WHERE id = 'sub_ann'"))
    with pytest.raises(SubscriptionOver, match="CANCELLED"):
        coupons.redeem("ann", ANN)


def test_a_coupon_that_still_acts_is_not_attached_twice(tx: Tx) -> None:
    coupons = Coupons(tx)
    coupons.create({**TENTH, "maxRedemptionsPerCustomer": 2})
    first = coupons.redeem("ann", ANN)
    with pytest.raises(CouponAlreadyAttached), tx.session.begin_nested():
        coupons.redeem("ann", ANN)
    assert (first.applies_from, first.applies_until) == (
        datetime(2024, 3, 1, tzinfo=UTC),
        datetime(2024, 4, 1, tzinfo=UTC),
    )
    later = Tx(tx.session, "acme", tx.actor, datetime(2024, 4, 2, tzinfo=UTC))
    assert Coupons(later).redeem("ann", ANN).applies_from == datetime(2024, 4, 1, tzinfo=UTC)
    with pytest.raises(CouponLimitReached):
        Coupons(Tx(tx.session, "acme", tx.actor, datetime(2024, 5, 2, tzinfo=UTC))).redeem("ann", ANN)


def test_a_limit_cannot_be_lowered_below_what_was_redeemed(tx: Tx) -> None:
    coupons = Coupons(tx)
    coupon = coupons.create(TENTH)
    coupons.redeem("ann", ANN)
    coupons.redeem("bob", {"code": "TENTH", "subscriptionId": "sub_bob"})
    with pytest.raises(CouponRedeemed, match="at least 2"):
        coupons.edit(coupon.id, {"maxRedemptions": 1})
    coupons.edit(coupon.id, {"maxRedemptions": 2})
    with pytest.raises(CouponExhausted):
        coupons.redeem("ann", ANN)


def test_another_tenants_coupon_is_not_there(tx: Tx, shop: Engine) -> None:
    coupon = Coupons(tx).create(TENTH)
    tx.session.commit()
    with session_scope(shop) as session:
        applied(session, acme(tenant={"id": "rival", "name": "Rival", "currency": "USD"}))
    with tenant_tx(shop, "rival", at=NOON) as theirs:
        with pytest.raises(CouponNotFound):
            Coupons(theirs).get(coupon.id)
        with pytest.raises(CouponNotFound):
            Coupons(theirs).redeem("ann", ANN)


def test_the_frozen_terms_name_the_coupons_that_act_on_each_period_in_order(shop: Engine) -> None:
    three = {**TENTH, "code": "THREE", "duration": "REPEATING", "durationInMonths": 3}
    five = {"discountType": "FIXED_AMOUNT", "discountValue": 5, "currency": "USD", "code": "FIVE"}
    with tenant_tx(shop, "acme", at=NOON) as tx:
        for sent in (three, {**TENTH, **five}):
            Coupons(tx).create(sent)
            Coupons(tx).redeem("ann", {**ANN, "code": sent["code"]})

    def acting(month: str) -> set[tuple[str, ...]]:
        with session_scope(shop) as session:
            rows = [row for row in frozen_terms(session, month=month, customers=["ann"]) if row["due"]]
        return {tuple(Discount.from_text(each).code for each in row["coupons"]) for row in rows}

    months = ("2024-02", "2024-03", "2024-04", "2024-05", "2024-06")
    expected = [(), ("THREE", "FIVE"), ("THREE",), ("THREE",), ()]
    assert [acting(month) for month in months] == [{each} for each in expected]


def test_an_applied_catalog_brings_its_coupons_and_applying_it_again_changes_nothing(shop: Engine) -> None:
    sent = {**TENTH, "appliesTo": ["pro"], "validFrom": "2024-01-01T00:00:00+01:00"}
    with session_scope(shop) as session:
        plan, _ = applied(session, acme(coupons=[sent]))
        assert plan.of("coupon", "create") == ["TENTH"]
    with session_scope(shop) as session:
        plan, _ = applied(session, acme(coupons=[sent]))
        assert plan.of("coupon", "unchanged") == ["TENTH"]
    with tenant_tx(shop, "acme", at=NOON) as tx:
        Coupons(tx).redeem("ann", ANN)
    refused = pytest.raises(CatalogRefused, match=r"coupons\[0\]\.discountValue: coupon TENTH was redeemed")
    with refused, session_scope(shop) as session:
        applied(session, acme(coupons=[{**sent, "discountValue": "0.2"}]))
    with session_scope(shop) as session:
        applied(session, acme(coupons=[{**sent, "name": "Ten"}]))
    with tenant_tx(shop, "acme") as tx:
        assert [row.revision for row in CouponRepository(tx.session, "acme").live().values()] == [2]
