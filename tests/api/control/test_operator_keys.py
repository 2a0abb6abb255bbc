"""Operator keys: who gets in, with which rights, for which tenant."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from api.control.operator import REMEMBERED
from storage.database import session_scope
from tests.api.control.conftest import Api, problem

KEYS = "/api/v1/operator-keys"


def test_a_secret_is_shown_once_and_opens_its_tenant(api: Api) -> None:
    made = api.made(KEYS, {"name": "CI", "role": "MEMBER"})
    secret = made["secret"]
    assert (made["role"], made["status"], len(secret), secret[:4]) == ("VIEWER", "ACTIVE", 44, "afo_")
    shown = api.get(f"{KEYS}/{made['id']}", token=secret, tenant="").json()["data"]
    assert shown["prefix"] == secret[:10] and "secret" not in shown
    with session_scope(api.database_url) as session:
        assert secret not in str(session.execute(text("SELECT * FROM operator_keys, audit_log")).all())


def test_a_key_acts_for_its_own_tenant_only(api: Api) -> None:
    key = api.key("acme", "OWNER")
    assert api.get(KEYS, token=key, tenant="acme").status_code == 200
    problem(api.get(KEYS, token=key, tenant="rival"), 403, "FORBIDDEN")
    theirs = api.made(KEYS, {"name": "x", "role": "VIEWER"}, tenant="rival")["id"]
    problem(api.get(f"{KEYS}/{theirs}", token=key), 404, "OPERATOR_KEY_NOT_FOUND")
    problem(api.delete(f"{KEYS}/{theirs}", token=key), 404, "OPERATOR_KEY_NOT_FOUND")


@pytest.mark.parametrize("token", ["afo_" + "x" * 40, "afo_ñ", "nothing", "sk_live_" + "a" * 40])
def test_what_is_no_operator_key_is_unauthorized(api: Api, token: str) -> None:
    answer = api.client.get(
        KEYS, headers={"Authorization": f"Bearer {token}".encode("latin-1"), "X-Tenant-Id": "acme"}
    )
    body = problem(answer, 401, "UNAUTHORIZED")
    assert ("operator key (afo_" in body["detail"]) == token.startswith("sk_")


def test_a_revoked_key_is_out_at_once_and_stays_listed(api: Api) -> None:
    made = api.made(KEYS, {"name": "CI", "role": "OWNER"})
    assert api.delete(f"{KEYS}/{made['id']}").json()["data"]["status"] == "REVOKED"
    problem(api.get(KEYS, token=made["secret"]), 401)
    assert api.delete(f"{KEYS}/{made['id']}").status_code == 200
    problem(api.post(f"{KEYS}/{made['id']}/rotate"), 409, "OPERATOR_KEY_REVOKED")
    assert [row["id"] for row in api.get(KEYS).json()["data"]] == [made["id"]]


def test_after_a_rotation_both_secrets_work_until_the_grace_ends(api: Api) -> None:
    made = api.made(KEYS, {"name": "CI", "role": "VIEWER"})
    fresh = api.post(f"{KEYS}/{made['id']}/rotate").json()["data"]["secret"]
    assert [api.get(KEYS, token=each).status_code for each in (made["secret"], fresh)] == [200, 200]
    with session_scope(api.database_url) as session:
        session.execute(text("UPDATE operator_keys SET previous_until = now()"))
    time.sleep(REMEMBERED)
    assert [api.get(KEYS, token=each).status_code for each in (made["secret"], fresh)] == [401, 200]


def test_an_expired_key_is_out(api: Api) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = api.made(KEYS, {"name": "CI", "role": "VIEWER", "expiresAt": soon})
    assert api.get(KEYS, token=made["secret"]).status_code == 200
    with session_scope(api.database_url) as session:
        session.execute(text("UPDATE operator_keys SET expires_at = now()"))
    time.sleep(REMEMBERED)
    problem(api.get(KEYS, token=made["secret"]), 401)


def test_an_admin_may_neither_make_nor_change_owners(api: Api) -> None:
    owner = api.made(KEYS, {"name": "boss", "role": "OWNER"})["id"]
    problem(api.post(KEYS, {"name": "x", "role": "OWNER"}, role="ADMIN"), 403, "OWNERS_ONLY")
    problem(api.post(f"{KEYS}/{owner}/rotate", role="ADMIN"), 403, "OWNERS_ONLY")
    problem(api.delete(f"{KEYS}/{owner}", role="ADMIN"), 403, "OWNERS_ONLY")
    assert api.post(KEYS, {"name": "x", "role": "ADMIN"}, role="ADMIN").status_code == 201


def test_a_developer_cannot_give_itself_rights(api: Api) -> None:
    problem(api.post(KEYS, {"name": "x", "role": "OWNER"}, role="DEVELOPER"), 403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "VIEWER"}, "name"),
        ({"name": "x", "role": "KING"}, "role"),
        ({"name": "x", "role": "VIEWER", "expiresAt": "2001-01-01T00:00:00Z"}, "expiresAt"),
        ({"name": "x", "role": "VIEWER", "expiresAt": "soon"}, "expiresAt"),
        ({"name": "x", "role": "VIEWER", "rôle": 1}, "rôle"),
    ],
)
def test_a_wrong_field_is_named(api: Api, body: dict[str, object], field: str) -> None:
    problem(api.post(KEYS, body), 422, field=field)


def test_its_use_is_noted_roughly(api: Api) -> None:
    key = api.key("acme", "VIEWER")
    api.get(KEYS, token=key)
    assert api.get(f"{KEYS}/opk_viewer").json()["data"]["lastUsedAt"] is not None


def test_an_edit_based_on_an_older_state_is_refused(api: Api) -> None:
    made = api.post(KEYS, {"name": "CI", "role": "VIEWER"})
    key, tag = made.json()["data"]["id"], made.headers["ETag"]
    api.post(f"{KEYS}/{key}/rotate")
    problem(api.delete(f"{KEYS}/{key}", if_match=tag), 412, "STALE_EDIT")
    current = api.get(f"{KEYS}/{key}").headers["ETag"]
    assert api.delete(f"{KEYS}/{key}", if_match=current).status_code == 200
