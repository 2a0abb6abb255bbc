"""Tokens for API keys. Put here: issuing, revoking and asking after them. Keep out: HTTP, what tokens say (domain.token).

A caller shows a key, and with it which tenant it is; so nothing here is asked in the name of a tenant.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from redis.exceptions import RedisError
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from domain.errors import PermanentFailure, TransientFailure
from domain.subscription_states import GRANTING
from domain.token import ALGORITHM, LIFE_SECONDS, SKEW_SECONDS, claims_of
from storage import hot_state
from storage.connections import connect
from storage.database import session_scope
from storage.regions import other_regions
from storage.repositories.keys import ApiKeys, key_by_secret, record_of
from storage.tables.customers import SubscriptionRow
from storage.tables.keys import ApiKeyRow
from storage.token_keys import rotate_token_keys, token_keys


class TokenRefused(PermanentFailure):
    """No token is given. error: invalid_client, invalid_request, unsupported_grant_type, invalid_scope."""

    code = "TOKEN_REFUSED"

    def __init__(self, error: str, why: str) -> None:
        super().__init__(why)
        self.error = error


class RevocationsUnavailable(TransientFailure):
    """Redis does not answer, so a revocation cannot be noted."""

    code = "REVOCATIONS_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a caller shows and asks for. scopes: fewer than its key has; None: all of the key's."""

    grant_type: str | None
    client_id: str | None
    client_secret: str | None
    scopes: tuple[str, ...] | None = None


class Tokens:
    """Issues tokens. home: the data folder with the signing key. redis_url None: nobody checks or revokes tokens."""

    def __init__(self, database: Engine, redis_url: str | None, home: Path, issuer: str) -> None:
        self._database = database
        self._home = home
        self._issuer = issuer
        self._redis = connect(redis_url, socket_timeout=2, socket_connect_timeout=2) if redis_url else None
        self._others = other_regions()

    def issue(self, asked: TokenRequest) -> dict[str, Any]:
        """A token as OAuth answers it. Raises TokenRefused."""
        if asked.grant_type != "client_credentials":
            raise TokenRefused("unsupported_grant_type", "grant_type: send client_credentials")
        if not asked.client_secret:
            raise TokenRefused(
                "invalid_client", "client_secret: is missing; send it, or the API key as a bearer token"
            )
        now = datetime.now(UTC)
        with session_scope(self._database) as session:
            row = key_by_secret(session, asked.client_secret, now)
            if row is None or not _is_client(row, asked.client_id):
                raise TokenRefused("invalid_client", "client_id, client_secret: no such key is in use")
            scopes = _scopes(row, asked.scopes)
            subscriptions, offerings = _granted(session, row)
            record = record_of(row)
        claims = claims_of(
            record,
            issuer=self._issuer,
            subject=row.accessor_id or row.customer_id or row.id,
            jti=secrets.token_hex(16),
            now=time.time_ns() // 1000,
            scopes=scopes,
            subscriptions=subscriptions,
            offerings=offerings,
        )
        keys = token_keys(self._home)
        self.publish_keys()
        signed = jwt.encode(claims, keys.private, ALGORITHM, headers={"kid": keys.kid})
        return {
            "access_token": signed,
            "token_type": "Bearer",
            "expires_in": claims["exp"] - claims["iat"],
            "scope": " ".join(scopes),
        }

    def key_set(self) -> dict[str, Any]:
        """The public keys as a JWKS."""
        return {"keys": list(token_keys(self._home).public)}

    def rotate(self) -> dict[str, Any]:
        """Sign with a new key from now on; the key set, which has the old ones too."""
        rotate_token_keys(self._home)
        self.publish_keys()
        return self.key_set()

    def publish_keys(self) -> None:
        """Give the public keys to the edge. Without Redis the edge is down anyway, and gateways have the key set."""
        if self._redis is None:
            return
        public = {jwk["kid"]: json.dumps(jwk) for jwk in token_keys(self._home).public}
        for region in self._others:
            region.does(lambda redis: redis.hset(hot_state.TOKEN_KEYS, mapping=public))  # type: ignore[arg-type]
        try:
            self._redis.hset(hot_state.TOKEN_KEYS, mapping=public)  # type: ignore[arg-type]
        except (RedisError, OSError):
            return

    def revoke(self, token: str) -> bool:
        """Block a token until it has expired anyway; False: it is none of ours, or expired. Raises RevocationsUnavailable."""
        claims = self._checked(token)
        if claims is None:
            return False
        left = max(int(claims["exp"]) - int(time.time()), 0) + 2 * SKEW_SECONDS
        self._write(hot_state.blocked_token_key(str(claims["jti"])), left)
        return True

    def is_revoked(self, jti: str | None, key_id: str | None) -> bool:
        """Whether this token, or every token of this key, is blocked; False if nobody can say."""
        names = [hot_state.blocked_token_key(jti)] if jti else []
        names += [hot_state.blocked_client_key(key_id)] if key_id else []
        if self._redis is None:
            return False
        try:
            return any(self._redis.exists(name) for name in names)
        except (RedisError, OSError):
            return False

    def _write(self, name: str, seconds: int) -> None:
        if self._redis is None:
            raise RevocationsUnavailable("tokens cannot be revoked: this installation has no Redis")
        lasts = min(seconds, LIFE_SECONDS + 2 * SKEW_SECONDS)
        for region in self._others:
            region.does(lambda redis: redis.set(name, "1", ex=lasts))
        try:
            self._redis.set(name, "1", ex=lasts)
        except (RedisError, OSError) as error:
            raise RevocationsUnavailable(f"the revocation could not be noted ({error}); try again") from error

    def _checked(self, token: str) -> Mapping[str, Any] | None:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            jwk = next((each for each in token_keys(self._home).public if each["kid"] == kid), None)
            if jwk is None:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                jwt.PyJWK(jwk).key,
                [ALGORITHM],
                leeway=SKEW_SECONDS,
                options={"require": ["exp", "jti"]},
            )
        except jwt.PyJWTError:
            return None
        return claims


def _is_client(row: ApiKeyRow, client_id: str | None) -> bool:
    """Whether the id goes with the key: its client id, or its own. A rotated key keeps the client id in its time of grace."""
    return client_id is None or any(
        hmac.compare_digest(known.encode(), client_id.encode()) for known in (row.client_id, row.id) if known
    )


def _scopes(row: ApiKeyRow, asked: Sequence[str] | None) -> list[str]:
    if asked is None:
        return list(row.scopes)
    beyond = [scope for scope in asked if row.scopes and scope not in row.scopes]
    if beyond:
        raise TokenRefused("invalid_scope", f"scope: the key does not have {', '.join(beyond)}")
    return list(asked)


def _granted(session: Session, row: ApiKeyRow) -> tuple[list[str], list[str]]:
    """The live subscriptions a key is for, or those of its customer, and their offerings."""
    if row.customer_id is None:
        return [], []
    bound = ApiKeys(session, row.tenant_id).subscriptions([row.id])[row.id]
    query = select(SubscriptionRow.id, SubscriptionRow.offering_id).where(
        SubscriptionRow.tenant_id == row.tenant_id,
        SubscriptionRow.customer_id == row.customer_id,
        SubscriptionRow.status.in_(list(GRANTING)),
    )
    if bound:
        query = query.where(SubscriptionRow.id.in_(bound))
    found = session.execute(query.order_by(SubscriptionRow.id)).all()
    return [each[0] for each in found], list(dict.fromkeys(each[1] for each in found))
