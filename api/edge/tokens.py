"""Tokens at the edge. Put here: telling good ones from bad ones, through a small cache. Keep out: issuing, API keys.

A token is checked in full when it is first seen; for `fresh_for` seconds after that it is known, then asked after again: it may
have been revoked. In the steady state that is one round trip for all its requests in that time.
"""

from __future__ import annotations

import json
import time
from hashlib import sha256
from typing import Any, cast

import jwt
from redis.asyncio import Redis

from api.problems import Problem
from domain.access import KeyRecord
from domain.token import ALGORITHM, SKEW_SECONDS, record_of_claims
from storage import hot_state

_MOST_TOKENS = 20_000
_REQUIRED = ["exp", "iss", "jti", "tenant_id", "key_id"]
_REASONS: tuple[tuple[type[Exception], str, str], ...] = (
    (jwt.ExpiredSignatureError, "TOKEN_EXPIRED", "This token has expired; ask for a new one."),
    (jwt.InvalidIssuerError, "INVALID_ISSUER", "This token was issued by somebody else."),
    (jwt.InvalidSignatureError, "INVALID_SIGNATURE", "This token's signature is not right."),
    (jwt.PyJWTError, "MALFORMED_TOKEN", "This is no token of ours."),
    (KeyError, "MALFORMED_TOKEN", "This token lacks what ours have."),
    (TypeError, "MALFORMED_TOKEN", "This token holds what ours do not."),
    (ValueError, "MALFORMED_TOKEN", "This token holds what ours do not."),
)


class Tokens:
    """Tokens as this process knows them. Signing keys are read again, at most every `fresh_for` seconds, for a new key id."""

    def __init__(self, redis: Redis, issuer: str, *, fresh_for: float = 0.5) -> None:
        self._redis = redis
        self._issuer = issuer
        self._fresh_for = fresh_for
        self._keys: dict[str, Any] = {}
        self._keys_read_at = float("-inf")
        self._known: dict[bytes, tuple[float, str, KeyRecord]] = {}

    async def key(self, token: str) -> KeyRecord:
        """The key the token stands for. Raises Problem 401 with the reason as its code."""
        name = sha256(token.encode()).digest()
        known = self._known.get(name)
        now = time.monotonic()
        if known is not None and now < known[0]:
            return _unexpired(known[2])
        jti, record = (known[1], known[2]) if known is not None else await self._checked(token)
        _unexpired(record)
        await self._assert_unrevoked(name, jti, record)
        if len(self._known) >= _MOST_TOKENS:
            self._known.clear()
        self._known[name] = (now + self._fresh_for, jti, record)
        return record

    def key_as_last_known(self, token: str) -> KeyRecord | None:
        """The key of a token that was good when it was last looked at and has not expired since; None: not known."""
        known = self._known.get(sha256(token.encode()).digest())
        return None if known is None else _unexpired(known[2])

    async def _checked(self, token: str) -> tuple[str, KeyRecord]:
        try:
            key = await self._signing_key(str(jwt.get_unverified_header(token).get("kid")))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                [ALGORITHM],
                issuer=self._issuer,
                leeway=SKEW_SECONDS,
                options={"require": _REQUIRED, "verify_aud": False},
            )
            return str(claims["jti"]), record_of_claims(claims)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise _refused(error) from None

    async def _signing_key(self, kid: str) -> Any:
        """Raises InvalidSignatureError for a key nobody signs with."""
        now = time.monotonic()
        if kid not in self._keys and now >= self._keys_read_at + self._fresh_for:
            found = await cast(Any, self._redis.hgetall(hot_state.TOKEN_KEYS))
            self._keys = {name.decode(): jwt.PyJWK(json.loads(jwk)).key for name, jwk in found.items()}
            self._keys_read_at = now
        if kid not in self._keys:
            raise jwt.InvalidSignatureError(kid)
        return self._keys[kid]

    async def _assert_unrevoked(self, name: bytes, jti: str, record: KeyRecord) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.exists(hot_state.blocked_token_key(jti))
        pipeline.exists(hot_state.blocked_client_key(record.key_id))
        is_blocked, is_client_blocked = await pipeline.execute()
        if is_blocked or is_client_blocked:
            self._known.pop(name, None)
            code = "TOKEN_REVOKED" if is_blocked else "CLIENT_REVOKED"
            raise _unauthorized(code, "This token, or the key it was made from, was revoked.")


def _unexpired(record: KeyRecord) -> KeyRecord:
    if record.until is not None and time.time_ns() // 1000 >= record.until:
        raise _unauthorized("TOKEN_EXPIRED", f"This token has expired {SKEW_SECONDS} seconds ago or more.")
    return record


def _refused(error: Exception) -> Problem:
    for kind, code, detail in _REASONS:
        if isinstance(error, kind):
            return _unauthorized(code, detail)
    raise error


def _unauthorized(code: str, detail: str) -> Problem:
    return Problem(401, detail, code=code, headers={"WWW-Authenticate": "Bearer"})
