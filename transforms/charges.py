"""What usage costs, on frames of any size. Put here: the six price models as expressions; `domain.pricing`
says in Decimal what they must come to. Keep out: free units (Allowance), rounding (Rate), proration.

Every model but FLAT_RATE is one line, `base + (units − offset) × price`, whose three numbers come from the
row's own terms. So a row costs one exact multiplication, whatever its model.
"""

from __future__ import annotations

from decimal import Decimal

import narwhals as nw
import polars as pl

from domain.pricing.tiers import BadTiers
from transforms.frames import EXACT, QUANTITY, TIER_CHARGES

TOO_MUCH = 10**17
"""A charge of as much does not fit an exact amount: it is found out before it is worked out, by an estimate in binary."""
ROUGHLY_ALL = float(TOO_MUCH) * (1 - 1e-12)
"""The same as a binary number, with room for its own error."""
TIER_MODELS = ("GRADUATED", "VOLUME_TIERED")
_EXACT = nw.Decimal(38, 21)
_ROUGH = pl.Float64
_QUANTITY = nw.Decimal(38, 9)


def tier_count(terms: pl.DataFrame) -> int:
    """The greatest number of tiers of any row; 0 without any."""
    counted = _tiers_in_use(terms)["tiers"].list.len().max()
    return counted if isinstance(counted, int) else 0


def price_columns(terms: pl.DataFrame) -> pl.DataFrame:
    """The terms with `tiers` unrolled into columns `tier{k}_from` (units up to there belong to lower bands),
    `tier{k}_price` and `tier{k}_base` for k = 0 … `tier_count(terms)` − 1; null where a row has no such tier.

    base, GRADUATED: what all lower bands cost when full, plus the band's own flat fee; VOLUME_TIERED: what
    `tier{k}_from` units cost at the band's price, plus its flat fee. Both: units above `from` add price each. Null also where it
    comes to `TOO_MUCH`.
    Raises `BadTiers` where bounds do not rise strictly from above 0 to one open tier.
    """
    _require_usable_tiers(terms)
    tiers = pl.when(pl.col("model").is_in(TIER_MODELS)).then(pl.col("tiers"))
    frame = terms.with_columns(below=pl.lit(0, dtype=QUANTITY), full=pl.lit(0, dtype=EXACT))
    for k in range(tier_count(terms)):
        frame = _with_tier(frame, k, tiers.list.get(k, null_on_oob=True))
    return frame.drop("below", "full")


def _with_tier(frame: pl.DataFrame, k: int, tier: pl.Expr) -> pl.DataFrame:
    """`frame` with the columns of tier k. Its columns below and full (units in all lower bands, and what
    these cost when full) move on; a step at a time, since as one expression they would grow with the square
    of k."""
    below, full, price = pl.col("below"), pl.col("full"), pl.col(f"tier{k}_price")
    flat_fee = tier.struct.field("flat_fee").fill_null(0).cast(EXACT)
    up_to = tier.struct.field("up_to")
    exists = price.is_not_null()
    lower = pl.when(pl.col("model") == "GRADUATED").then(full).otherwise(_product(below, price))
    return (
        frame.with_columns(tier.struct.field("unit_price").alias(f"tier{k}_price"))
        .with_columns(
            pl.when(exists).then(below).alias(f"tier{k}_from"),
            pl.when(exists).then(lower + flat_fee).alias(f"tier{k}_base"),
        )
        .with_columns(below=up_to, full=_sum(full, _product(up_to - below, price)) + flat_fee)
    )


def _product(units: pl.Expr, price: pl.Expr) -> pl.Expr:
    """What units cost; null where that is too much."""
    fits = (units.cast(_ROUGH) * price.cast(_ROUGH)).abs() < ROUGHLY_ALL
    return pl.when(fits).then(units) * price.cast(EXACT)


def _sum(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    return pl.when((one.cast(_ROUGH) + other.cast(_ROUGH)).abs() < ROUGHLY_ALL).then(one) + other


def too_much(billable: nw.Expr, tier_count: int) -> nw.Expr:
    """Whether `billable` units would cost `TOO_MUCH` or more, by columns as in `charge`; null where there is no price.

    PERCENTAGE is judged by its share of the total, whatever the events' own charges are: their sum goes through it.
    """
    units = _at_least_none(billable)
    offset, price, base = _band(units, tier_count)
    over = (_whole_blocks(units) - offset).cast(nw.Float64) * price.cast(nw.Float64)
    rough = over + base.cast(nw.Float64)
    return (nw.col("model") != "FLAT_RATE") & ((rough >= ROUGHLY_ALL) | (base.is_null() & ~price.is_null()))


def own_charges_do_not_fit() -> pl.Expr:
    """On lines with their `events` and `event_charges`: whether the events' own charges add up to `TOO_MUCH`."""
    agreed = pl.any_horizontal(pl.col(f"per_event_{name}").is_not_null() for name in ("fee", "min", "max"))
    known = (pl.col("model") == "PERCENTAGE") & pl.col("rate").is_not_null()
    return agreed & known & (pl.col("events") > 0) & pl.col("event_charges").is_null()


def charge(billable: nw.Expr, event_charges: nw.Expr, tier_count: int, *, guarded: bool = True) -> nw.Expr:
    """What `billable` units cost, unrounded Decimal(38,21), by each row's terms in columns model, rate,
    flat_amount, block_size, block_rate_basis, min_fee and those of `price_columns`.

    No value, or a negative one, costs 0, except FLAT_RATE's amount and the floor `min_fee`. `event_charges`,
    where not null, replaces PERCENTAGE's share of the total. Null: the terms lack the price, never the same
    as 0; or the charge is `too_much`. guarded: False where the caller knows that none is.
    """
    model = nw.col("model")
    units = _at_least_none(billable)
    offset, price, base = _band(units, tier_count)
    over = _whole_blocks(units) - offset
    if guarded:
        over = nw.when(~too_much(billable, tier_count)).then(over)
    linear = base + over * price
    own = nw.when((model != "PERCENTAGE") | event_charges.is_null()).then(linear).otherwise(event_charges)
    floor = nw.col("min_fee").cast(_EXACT)
    usage = nw.when(own < floor).then(floor).otherwise(_at_least_zero(own))
    return nw.when(model == "FLAT_RATE").then(nw.col("flat_amount").cast(_EXACT)).otherwise(usage)


def event_charge(quantity: nw.Expr) -> nw.Expr:
    """PERCENTAGE with per-event terms: the event's own charge, unrounded Decimal(38,21), by the row's columns
    model, rate, per_event_fee, per_event_min, per_event_max. Null for other terms. A correction (negative
    quantity) takes back exactly what the event it reverses was charged. Null also where it comes to `TOO_MUCH`."""
    fee, least, greatest = (nw.col(f"per_event_{name}") for name in ("fee", "min", "max"))
    sized = nw.when(quantity < 0).then(-quantity).otherwise(quantity)
    rough = sized.cast(nw.Float64) * nw.col("rate").cast(nw.Float64)
    fitting = nw.when(rough < ROUGHLY_ALL).then(sized)
    own: nw.Expr = fitting * nw.col("rate").cast(_EXACT) + fee.fill_null(Decimal(0)).cast(_EXACT)
    own = nw.when(own < least).then(least.cast(_EXACT)).otherwise(own)
    own = nw.when((own > greatest) | (rough >= ROUGHLY_ALL)).then(greatest.cast(_EXACT)).otherwise(own)
    applies = (nw.col("model") == "PERCENTAGE") & ~(fee.is_null() & least.is_null() & greatest.is_null())
    return nw.when(applies).then(nw.when(quantity < 0).then(-own).otherwise(own))


def _at_least_none(billable: nw.Expr) -> nw.Expr:
    return nw.when(billable > 0).then(billable).otherwise(nw.lit(0, dtype=_QUANTITY))


def may_be_too_much(terms: pl.DataFrame, most: float) -> bool:
    """Whether some of these terms (as of `price_columns`) might charge `TOO_MUCH` for `most` units or less. Often wrong for yes,
    never for no."""
    own = ("rate", "per_event_fee", "per_event_min")
    prices = [name for name in terms.columns if name in own or name.endswith("_price")]
    bases = [name for name in terms.columns if name.endswith("_base")]
    unknown = any(
        terms.filter(pl.col(name).is_null() & pl.col(name.replace("_base", "_price")).is_not_null()).height
        for name in bases
    )
    dearest, highest = (
        max((largest(terms[name]) for name in names), default=0.0) for names in (prices, bases)
    )
    # Whole blocks may hold more than was used.
    sizes = terms.filter(pl.col("block_size") > 0)["block_size"]
    smallest = min(1.0, 1.0 if sizes.is_empty() else -largest(-sizes.cast(_ROUGH)))
    units = (most + largest(sizes)) / smallest
    return unknown or 3 * units * dearest + highest >= ROUGHLY_ALL


def largest(values: pl.Series) -> float:
    """The largest value, roughly; 0 without any."""
    found = values.cast(_ROUGH).max()
    return found if isinstance(found, float) else 0.0


def _band(units: nw.Expr, tier_count: int) -> tuple[nw.Expr, nw.Expr, nw.Expr]:
    """(offset, price, base) of the band the units reach; without tiers (0, rate, 0)."""
    offset, price, base = nw.lit(0, dtype=_QUANTITY), nw.col("rate"), nw.lit(0, dtype=_EXACT)
    for k in range(tier_count):
        tier_price = nw.col(f"tier{k}_price")
        reached = units > nw.col(f"tier{k}_from")
        offset = nw.when(reached).then(nw.col(f"tier{k}_from")).otherwise(offset)
        # Without usage the first band prices 0 units: a tiered row never falls back to `rate`.
        price = nw.when(reached if k else ~tier_price.is_null()).then(tier_price).otherwise(price)
        base = nw.when(reached).then(nw.col(f"tier{k}_base")).otherwise(base)
    return offset, price.cast(_EXACT), base


def _whole_blocks(units: nw.Expr) -> nw.Expr:
    """Overage in the size the rate is for: units, or where blocks are agreed whole blocks (PER_BLOCK) or all
    the units they hold (PER_UNIT). The division is of exact multiples, so nothing is lost in it."""
    block = nw.when((nw.col("model") == "INCLUDED_QUOTA") & (nw.col("block_size") > 0)).then(
        nw.col("block_size")
    )
    rest = units % block
    held = units - rest + nw.when(rest > 0).then(block).otherwise(nw.lit(0, dtype=_QUANTITY))
    per_unit = nw.col("block_rate_basis") == "PER_UNIT"
    return (
        nw.when(block.is_null()).then(units).otherwise(nw.when(per_unit).then(held).otherwise(held / block))
    )


def _at_least_zero(amount: nw.Expr) -> nw.Expr:
    return nw.when(amount < 0).then(nw.lit(0, dtype=_EXACT)).otherwise(amount)


def _tiers_in_use(terms: pl.DataFrame) -> pl.DataFrame:
    return terms.filter(pl.col("model").is_in(TIER_MODELS))


def _require_usable_tiers(terms: pl.DataFrame) -> None:
    bounds = pl.col("tiers").list.eval(pl.element().struct.field("up_to"))
    closed = bounds.list.head(bounds.list.len() - 1)
    steps = pl.concat_list(pl.lit([0], dtype=pl.List(QUANTITY)), closed).list.diff().list.slice(1)
    usable = (
        (bounds.list.len() > 0)
        & bounds.list.last().is_null()
        & ~closed.list.eval(pl.element().is_null()).list.any()
        & (steps.list.min().fill_null(1) > 0)
    )
    bad = _tiers_in_use(terms).filter(~usable.fill_null(False))
    if not bad.is_empty():
        (first,) = bad.select("tiers").row(0)
        raise BadTiers([tier["up_to"] for tier in first or []])


def tier_breakdown(lines: pl.DataFrame) -> pl.DataFrame:
    """(month, line_id, bands TIER_CHARGES): for each tiered line with usage, the bands that price its
    `billable` units in rising order, amounts unrounded, flat fees included. Their sum is the line's
    charge."""
    key = ["month", "line_id"]
    billable, below, up_to = pl.col("billable"), pl.col("below"), pl.col("up_to")
    graduated = pl.col("model") == "GRADUATED"
    flat_fee = pl.col("flat_fee").fill_null(0)
    return (
        _tiers_in_use(lines)
        .select(*key, "model", "billable", "tiers")
        .explode("tiers")
        .unnest("tiers")
        .with_columns(below=up_to.shift(1).over(key).fill_null(0))
        .filter((billable > below) & (graduated | up_to.is_null() | (billable <= up_to)))
        .with_columns(
            flat_fee=flat_fee,
            quantity=pl.when(graduated).then(pl.min_horizontal(billable, up_to) - below).otherwise(billable),
        )
        .with_columns(amount=pl.col("quantity") * pl.col("unit_price").cast(EXACT) + flat_fee.cast(EXACT))
        .group_by(key, maintain_order=True)
        .agg(bands=pl.struct("up_to", "quantity", "unit_price", "flat_fee", "amount"))
        .with_columns(pl.col("bands").cast(TIER_CHARGES))
    )


def share_breakdown(lines: pl.DataFrame) -> pl.DataFrame:
    """The same for each PERCENTAGE line whose charge is its share, without charges of events or a least fee above it: one
    band at its rate."""
    share = pl.col("billable") * pl.col("rate").cast(EXACT)
    whole = pl.col("event_charges").is_null() & (share >= pl.col("min_fee").fill_null(0).cast(EXACT))
    return (
        lines.filter(
            (pl.col("model") == "PERCENTAGE") & (pl.col("billable") > 0) & pl.col("rate").is_not_null()
        )
        .filter(whole)
        .select(
            "month",
            "line_id",
            bands=pl.concat_list(
                pl.struct(
                    up_to=pl.lit(None, dtype=QUANTITY),
                    quantity="billable",
                    unit_price="rate",
                    flat_fee=pl.lit(0),
                    amount=share,
                )
            ).cast(TIER_CHARGES),
        )
    )
