"""How names are spelled elsewhere. Put here: the wire's form of our own names. Keep out: what values look like there."""

from __future__ import annotations


def on_the_wire(name: str) -> str:
    """`amount_due` as `amountDue`."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
