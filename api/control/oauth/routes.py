"""Tokens over HTTP, the way OAuth 2.0 has it. Put here: its routes, reading its forms, its shape of errors. Keep out: tokens."""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote

from fastapi import Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.routing import APIRouter

from api.control.calls import Area, Call, Door, managed_router
from api.problems import Problem
from domain.token import ISSUER
from storage.services.tokens import TokenRefused, TokenRequest, Tokens

_LARGEST = 16 * 1024
_NOT_KEPT = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_TEXT = {"type": "string"}
_REFUSED = {"type": "object", "properties": {"error": _TEXT, "error_description": _TEXT}}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": why, "content": {"application/json": {"schema": _REFUSED}}}
    for status, why in {400: "The request is not one OAuth knows", 401: "No such key is in use"}.items()
}


def oauth_routes(door: Door) -> APIRouter:
    """/oauth/token, /oauth/revoke, /.well-known/jwks.json, and the check gateways ask for."""
    router = managed_router("", "tokens")
    tokens = Tokens(door.engine, door.redis_url, door.home, os.environ.get("AFORO_TOKEN_ISSUER", ISSUER))

    @router.post(
        "/oauth/token", responses=_ERRORS, openapi_extra=_body("grant_type", "client_id", "client_secret")
    )
    async def token(request: Request) -> Response:
        """A token for an API key, good for fifteen minutes: client id and secret, or the key as a bearer token."""
        try:
            asked = _token_request(await _sent(request), request.headers)
            issued = await run_in_threadpool(tokens.issue, asked)
        except TokenRefused as refused:
            return _refused(refused)
        return JSONResponse(issued, headers=_NOT_KEPT)

    @router.post("/oauth/revoke", responses=_ERRORS, openapi_extra=_body("token"))
    async def revoke(request: Request) -> Response:
        """Block a token, which is what shows that the caller may. A token that is good for nothing is fine, too."""
        try:
            token = (await _sent(request)).get("token")
            if not token:
                raise TokenRefused("invalid_request", "token: is missing")
        except TokenRefused as refused:
            return _refused(refused)
        await run_in_threadpool(tokens.revoke, token)
        return JSONResponse({}, headers=_NOT_KEPT)

    @router.get("/.well-known/jwks.json")
    def jwks() -> Response:
        """The public keys tokens are signed with."""
        return JSONResponse(tokens.key_set(), headers={"Cache-Control": "public, max-age=3600"})

    @router.get("/internal/v1/auth/token-check")
    def check(
        jti: Annotated[str | None, Query(description="The token's id.")] = None,
        key_id: Annotated[str | None, Query(alias="keyId", description="The key it was made from.")] = None,
    ) -> Response:
        """Whether a token, or every token of a key, is revoked."""
        return JSONResponse({"revoked": tokens.is_revoked(jti, key_id)}, headers=_NOT_KEPT)

    @router.post("/internal/v1/auth/rotate-signing-key")
    def rotate(call: Annotated[Call, Depends(door.write(Area.TENANTS))]) -> Response:
        """Sign tokens with a new key from now on; those signed with the old one stay good."""
        return call.write(lambda tx: tokens.rotate())

    return router


async def _sent(request: Request) -> dict[str, str]:
    """The fields of the form, or of the JSON object. Raises TokenRefused."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST:
            raise Problem(413, f"The body is larger than {_LARGEST} bytes")
    try:
        if "json" in request.headers.get("content-type", ""):
            found = json.loads(body)
            if not isinstance(found, dict):
                raise ValueError("not an object")
            return {str(name): value for name, value in found.items() if isinstance(value, str)}
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50))
    except (ValueError, RecursionError):
        raise TokenRefused("invalid_request", "send a form or a JSON object") from None


def _token_request(sent: Mapping[str, str], headers: Mapping[str, str]) -> TokenRequest:
    client_id, secret = sent.get("client_id"), sent.get("client_secret")
    scheme, _, shown = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and not secret:
        secret = shown.strip()
    elif scheme.lower() == "basic" and not secret:
        client_id, secret = _basic(shown)
    scope = sent.get("scope")
    return TokenRequest(
        sent.get("grant_type"), client_id or None, secret, tuple(scope.split()) if scope else None
    )


def _basic(shown: str) -> tuple[str, str]:
    try:
        name, _, secret = base64.b64decode(shown.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise TokenRefused(
            "invalid_client", "Authorization: is not Basic base64(client_id:client_secret)"
        ) from None
    return unquote(name), unquote(secret)


def _refused(refused: TokenRefused) -> Response:
    wrong_client = refused.error == "invalid_client"
    headers = _NOT_KEPT | ({"WWW-Authenticate": 'Basic realm="tokens"'} if wrong_client else {})
    body = {"error": refused.error, "error_description": str(refused)}
    return JSONResponse(body, 401 if wrong_client else 400, headers=headers)


def _body(*names: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": dict.fromkeys(names, _TEXT)}
    kinds = ("application/x-www-form-urlencoded", "application/json")
    return {"requestBody": {"content": {kind: {"schema": schema} for kind in kinds}}}
