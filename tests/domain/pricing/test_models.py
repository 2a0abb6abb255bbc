"""The six price models come to what their definitions say."""

from decimal import Decimal

import pytest

from domain.pricing import flat_rate, graduated, included_quota, per_unit, percentage, volume_tiered
from domain.pricing.included_quota import UnknownBlockRateBasis
from domain.pricing.tiers import BadTiers, Tier

D = Decimal
TIERS = [Tier(D(1000), D("0.010")), Tier(D(10000), D("0.008")), Tier(None, D("0.005"))]
SMALL = [Tier(D(1000), D(".001")), Tier(D(10000), D(".0008")), Tier(None, D(".0005"))]
WITH_FEES = [Tier(D(10), D(1), D(5)), Tier(D(20), D("0.5"), D(3)), Tier(None, D(0), D(1))]


@pytest.mark.parametrize(
    ("units", "cost"), [("0", "0"), ("3", "0.03"), ("0.000000001", "1e-11"), ("-5", "0")]
)
def test_per_unit_charges_each_unit(units: str, cost: str) -> None:
    assert per_unit.charge(D(units), rate=D("0.01")) == D(cost)


@pytest.mark.parametrize("units", [None, D(0), D(10**9)])
def test_flat_rate_costs_the_same_whatever_is_used(units: Decimal | None) -> None:
    assert flat_rate.charge(units, flat_amount=D(49)) == D(49)


@pytest.mark.parametrize(("base", "cost"), [(D(1000), "25"), (D(100), "10"), (None, "10"), (D(-100), "10")])
def test_a_percentage_is_never_below_its_floor(base: Decimal | None, cost: str) -> None:
    assert percentage.charge(base, rate=D("0.025"), min_fee=D(10)) == D(cost)


def test_a_negative_rate_costs_the_floor() -> None:
    assert percentage.charge(D(100), rate=D("-0.1"), min_fee=D(2)) == D(2)
    assert percentage.charge(D(100), rate=D("-0.1")) == 0


@pytest.mark.parametrize(
    ("quantity", "cost"), [("100", "3.20"), ("1", "0.50"), ("9999", "20"), ("0", "0.50")]
)
def test_an_event_is_charged_its_share_and_fee_within_its_bounds(quantity: str, cost: str) -> None:
    own = percentage.event_charge(D(quantity), rate=D("0.029"), fee=D("0.30"), least=D("0.5"), greatest=D(20))
    assert own == D(cost)


def test_a_correction_takes_back_what_the_event_was_charged() -> None:
    bounds = {"rate": D("0.029"), "fee": D("0.30"), "least": D("0.5"), "greatest": D(20)}
    assert percentage.event_charge(D(-100), **bounds) == -percentage.event_charge(D(100), **bounds)


def test_event_charges_add_up_to_at_least_the_floor() -> None:
    assert percentage.charge_by_event([D("3.20"), D("0.50")], min_fee=D(5)) == D(5)
    assert percentage.charge_by_event([D("3.20"), D("0.50")]) == D("3.70")


@pytest.mark.parametrize(("used", "cost"), [(1100, "0.10"), (1150, "0.20"), (1200, "0.20"), (1201, "0.30")])
def test_per_unit_basis_bills_all_units_of_each_block_begun(used: int, cost: str) -> None:
    over = D(used - 1000)
    charged = included_quota.charge(over, rate=D("0.001"), block_size=D(100), block_rate_basis="PER_UNIT")
    assert charged == D(cost)


@pytest.mark.parametrize(("over", "cost"), [("0", "0"), ("1", "2"), ("100", "2"), ("100.000000001", "4")])
def test_per_block_basis_bills_the_rate_for_each_block_begun(over: str, cost: str) -> None:
    assert included_quota.charge(D(over), rate=D(2), block_size=D(100)) == D(cost)


def test_without_blocks_overage_is_billed_by_the_unit() -> None:
    assert included_quota.charge(D(150), rate=D("0.001")) == D("0.15")


def test_an_unknown_block_basis_is_refused() -> None:
    with pytest.raises(UnknownBlockRateBasis, match="PER_BLOCK, PER_UNIT"):
        included_quota.charge(D(1), rate=D(1), block_size=D(1), block_rate_basis="EACH")


@pytest.mark.parametrize(
    ("units", "cost"), [(500, "5"), (1000, "10"), (1001, "10.008"), (10000, "82"), (15000, "107")]
)
def test_graduated_prices_each_band_by_itself(units: int, cost: str) -> None:
    assert graduated.charge(D(units), tiers=TIERS) == D(cost)


@pytest.mark.parametrize(("units", "cost"), [(500, "0.50"), (5000, "4.20"), (15000, "10.70")])
def test_graduated_small_prices(units: int, cost: str) -> None:
    assert graduated.charge(D(units), tiers=SMALL) == D(cost)


@pytest.mark.parametrize(("units", "cost"), [(500, "0.50"), (5000, "4.00"), (15000, "7.50")])
def test_volume_prices_everything_at_the_band_reached(units: int, cost: str) -> None:
    assert volume_tiered.charge(D(units), tiers=SMALL) == D(cost)


@pytest.mark.parametrize(("units", "cost"), [(1000, "10"), (1001, "8.008"), (10000, "80"), (15000, "75")])
def test_volume_bounds_are_inclusive(units: int, cost: str) -> None:
    assert volume_tiered.charge(D(units), tiers=TIERS) == D(cost)


@pytest.mark.parametrize(
    ("units", "cost"), [("0", "0"), ("0.5", "5.5"), ("10", "15"), ("11", "18.5"), ("21", "24")]
)
def test_a_bands_fee_is_due_once_any_unit_falls_in_it(units: str, cost: str) -> None:
    assert graduated.charge(D(units), tiers=WITH_FEES) == D(cost)


@pytest.mark.parametrize(("units", "cost"), [("0", "0"), ("10", "15"), ("20", "13"), ("21", "1")])
def test_volume_adds_the_fee_of_its_band_only(units: str, cost: str) -> None:
    assert volume_tiered.charge(D(units), tiers=WITH_FEES) == D(cost)


@pytest.mark.parametrize(
    "bounds", [[10, 10, None], [20, 10, None], [0, None], [-1, None], [10], [None, None], []]
)
def test_tiers_that_do_not_rise_to_one_open_end_are_refused(bounds: list[int | None]) -> None:
    tiers = [Tier(None if bound is None else D(bound), D(1)) for bound in bounds]
    for model in (graduated, volume_tiered):
        with pytest.raises(BadTiers, match="rise strictly"):
            model.charge(D(1), tiers=tiers)


def test_no_value_costs_nothing() -> None:
    assert per_unit.charge(None, rate=D(1)) == included_quota.charge(None, rate=D(1), block_size=D(5)) == 0
    assert graduated.charge(None, tiers=TIERS) == volume_tiered.charge(None, tiers=TIERS) == 0
