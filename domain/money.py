"""Money: currencies, rounding, allocation. Put here: arithmetic on amounts. Keep out: price models."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import (
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from fractions import Fraction

from domain.errors import PermanentFailure

EXACT = Context(prec=100, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact])
"""For `with localcontext(EXACT)`: arithmetic that would lose a digit raises instead of rounding."""

_ROUNDING = Context(prec=100, traps=[InvalidOperation, DivisionByZero, Overflow])
ROUNDING_MODES = {"HALF_EVEN": ROUND_HALF_EVEN, "HALF_UP": ROUND_HALF_UP}

# ISO 4217: decimal places wherever they are not two.
_EXPONENTS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_TWO_PLACES = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF
IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK
MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP
SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG
YER ZAR ZMW ZWG
"""
EXPONENTS: dict[str, int] = dict.fromkeys(_TWO_PLACES.split(), 2) | {
    code: exponent for exponent, codes in _EXPONENTS.items() for code in codes.split()
}


class UnknownCurrency(PermanentFailure):
    code = "UNKNOWN_CURRENCY"

    def __init__(self, currency: str) -> None:
        super().__init__(
            f"currency {currency!r} is not an ISO 4217 code; use three capital letters such as 'USD'"
        )


class UnknownRounding(PermanentFailure):
    code = "UNKNOWN_ROUNDING"

    def __init__(self, mode: str) -> None:
        super().__init__(f"rounding {mode!r} is not known; use one of {', '.join(ROUNDING_MODES)}")


class NothingToAllocateBy(PermanentFailure):
    code = "NOTHING_TO_ALLOCATE_BY"

    def __init__(self, total: Decimal, weights: Sequence[Decimal]) -> None:
        super().__init__(
            f"cannot allocate {total} by weights {[str(w) for w in weights]}: "
            "at least one weight must be above 0 and none below"
        )


def currency_exponent(currency: str) -> int:
    """Decimal places of an ISO 4217 currency: 2 for USD, 0 for JPY, 3 for KWD. Raises `UnknownCurrency`."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(currency) from None


def round_money(amount: Decimal, exponent: int, mode: str = "HALF_EVEN") -> Decimal:
    """`amount` to `exponent` decimal places. HALF_UP: ties go away from zero. Raises `UnknownRounding`."""
    if mode not in ROUNDING_MODES:
        raise UnknownRounding(mode)
    return amount.quantize(Decimal(1).scaleb(-exponent), rounding=ROUNDING_MODES[mode], context=_ROUNDING)


def round_fraction(amount: Fraction, exponent: int, mode: str = "HALF_EVEN") -> Decimal:
    """The same for a ratio, which may have no end as a decimal. Raises `UnknownRounding`."""
    if mode not in ROUNDING_MODES:
        raise UnknownRounding(mode)
    units = amount * 10**exponent
    whole = round(abs(units))  # half to even
    if mode == "HALF_UP" and abs(units) - int(abs(units)) == Fraction(1, 2):
        whole = int(abs(units)) + 1
    return Decimal(whole if units >= 0 else -whole).scaleb(-exponent, context=EXACT)


def unpadded(amount: Decimal, places: int = 0) -> Decimal:
    """The same amount without the zeros a database pads it with, but with `places` decimal places at least."""
    digits = format(amount, "f").partition(".")[2].rstrip("0")
    return amount.quantize(Decimal(1).scaleb(-max(places, len(digits))), context=EXACT)


def prorate(amount: Decimal, part: timedelta, whole: timedelta, places: int = 21) -> Decimal:
    """`amount` for `part` of a period that lasts `whole`, by elapsed time, to `places` decimal places."""
    microsecond = timedelta(microseconds=1)
    exact = _ROUNDING.divide(
        _ROUNDING.multiply(amount, Decimal(part // microsecond)), Decimal(whole // microsecond)
    )
    return exact.quantize(Decimal(1).scaleb(-places), context=_ROUNDING)


def allocate(total: Decimal, weights: Sequence[Decimal], exponent: int = 2) -> list[Decimal]:
    """`total` in shares as `weights` stand to each other, in minor units; they add up to `total` exactly.

    Largest remainder: each share is rounded down, and what is left goes, one minor unit each, to those that
    lost most; ties to the lowest index. A negative total is shared like its opposite. Raises
    `NothingToAllocateBy`.
    """
    if total < 0:
        return [-share for share in allocate(-total, weights, exponent)]
    whole = sum(weights, Decimal(0))
    if min(weights, default=Decimal(0)) < 0 or (whole == 0 and total != 0):
        raise NothingToAllocateBy(total, weights)
    minor = Decimal(1).scaleb(-exponent)
    units = int(total.quantize(minor, context=EXACT) / minor)
    if units == 0:
        return [Decimal(0).quantize(minor) for _ in weights]
    return [share * minor for share in _largest_remainder(units, weights)]


def _largest_remainder(units: int, weights: Sequence[Decimal]) -> list[int]:
    scale = max(0, *(-int(weight.as_tuple().exponent) for weight in weights))
    whole_weights = [int(weight.scaleb(scale, context=EXACT)) for weight in weights]
    divisor = sum(whole_weights)
    shares = [units * weight // divisor for weight in whole_weights]
    lost_most_first = sorted(range(len(weights)), key=lambda i: (-(units * whole_weights[i] % divisor), i))
    for index in lost_most_first[: units - sum(shares)]:
        shares[index] += 1
    return shares
