"""API keys as asked for. Put here: their shape and what may be written in it. Keep out: secrets, states, storage."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from domain.catalog.fields import FieldProblem, Fields, shown
from domain.instant import EPOCH, NotAnInstant, to_micros_since_epoch

ENVIRONMENTS = ("LIVE", "TEST", "SANDBOX")
ACCESSOR_TYPES = ("APP", "AGENT")
BEARER_TOKEN, CLIENT_CREDENTIALS = "BEARER_TOKEN", "CLIENT_CREDENTIALS"
CREDENTIAL_OF = {"APP": BEARER_TOKEN, "AGENT": CLIENT_CREDENTIALS}
_SCOPE = re.compile(r"[A-Za-z0-9*][A-Za-z0-9*._:/-]{0,127}")


@dataclass(frozen=True, slots=True)
class Key:
    """An API key to be issued. customer None: the whole tenant's.

    scopes: what it opens, none: everything (domain.access.opens). ip_ranges: CIDR, none: from anywhere. accessor: the app or
    agent that uses it, at most one key in use for each; a key without is known by its name, which is unique then.
    subscriptions: what it is for; it ends with the last of them, with none it does not depend on any.
    """

    name: str
    customer: str | None = None
    environment: str = "live"
    scopes: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    expires_at: datetime | None = None
    accessor: str | None = None
    accessor_type: str | None = None
    subscriptions: tuple[str, ...] = ()
    product: str | None = None

    @property
    def credential_type(self) -> str:
        """How it is shown: one secret for an app, an id and a secret for an agent."""
        return CREDENTIAL_OF.get(self.accessor_type or "APP", BEARER_TOKEN)


def read_key(fields: Fields) -> Key:
    """A key as a catalog file asks for it. Raises FieldProblem."""
    key = Key(fields.text("name"), **_common(fields))  # type: ignore[arg-type]
    fields.done()
    return key


def read_new_key(fields: Fields) -> Key:
    """A key as the API asks for it: also bound to an app or agent and to subscriptions. Raises FieldProblem."""
    accessor = fields.key("accessorId") if fields.has("accessorId") else None
    key = Key(
        name=fields.maybe_text("name") or accessor or "",
        **_common(fields),  # type: ignore[arg-type]
        accessor=accessor,
        accessor_type=_accessor_type(fields, accessor),
        subscriptions=tuple(dict.fromkeys(fields.keys("subscriptionIds"))),
        product=fields.key("productId") if fields.has("productId") else None,
    )
    fields.done()
    if not key.name:
        raise FieldProblem(fields.at("name"), "is missing; write some text")
    if key.customer is None and (key.accessor or key.subscriptions):
        of = "accessorId" if key.accessor else "subscriptionIds"
        raise FieldProblem(fields.at("customerId"), f"is missing; {of} belongs to a customer")
    return key


def _common(fields: Fields) -> dict[str, object]:
    environment = fields.choice("environment", ENVIRONMENTS, "LIVE")
    return {
        "customer": fields.key("customer", "customerId") if fields.has("customer", "customerId") else None,
        "environment": "live" if environment == "LIVE" else "test",
        "scopes": tuple(dict.fromkeys(_scope(path, item) for path, item in fields.items("scopes"))),
        "ip_ranges": tuple(dict.fromkeys(_range(path, item) for path, item in fields.items("ipRanges"))),
        "expires_at": _instant(fields, "expiresAt"),
    }


def _accessor_type(fields: Fields, accessor: str | None) -> str | None:
    if accessor is None and fields.has("accessorType"):
        raise FieldProblem(fields.at("accessorId"), "is missing; accessorType says what it is the id of")
    return fields.choice("accessorType", ACCESSOR_TYPES, "APP") if accessor else None


def _scope(path: str, sent: object) -> str:
    if not isinstance(sent, str) or not _SCOPE.fullmatch(sent.strip()):
        raise FieldProblem(path, f"{shown(sent)} is not a scope; write a name such as meter or access")
    return sent.strip()


def _range(path: str, sent: object) -> str:
    if isinstance(sent, str):
        try:
            return str(ipaddress.ip_network(sent.strip(), strict=False))
        except ValueError:
            pass
    raise FieldProblem(path, f"{shown(sent)} is not an address range; write CIDR such as 203.0.113.0/24")


def _instant(fields: Fields, name: str) -> datetime | None:
    value = fields.raw(name)[1]
    if value is None:
        return None
    try:
        return EPOCH.astimezone(UTC) + timedelta(microseconds=to_micros_since_epoch(value))
    except NotAnInstant as error:
        raise FieldProblem(fields.at(name), f"{shown(value)} {error}") from None
