"""Claims about settings, secrets, and what the stack tells its processes."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
import yaml
from sqlalchemy import make_url

from stack import dagster_home, state
from stack.services import plan
from stack.settings import Settings, StackNotRunning, connected, dagster_environment


def test_the_data_folder_is_in_the_current_one_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings().folder == tmp_path / ".aforo"


def test_a_secret_is_made_once_and_is_private(home: Path) -> None:
    secret = Settings().secret("operator_token")
    assert len(secret) >= 32
    assert Settings().secret("operator_token") == secret
    assert stat.S_IMODE((home / "secrets" / "operator_token").stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "secrets").stat().st_mode) == 0o700


def test_a_server_named_by_url_is_used_and_none_started(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = {service.name for service in plan(Settings()).services}
    assert {"postgres", "valkey"} <= embedded
    monkeypatch.setenv("AFORO_DATABASE_URL", "postgresql://somewhere/db")
    monkeypatch.setenv("AFORO_REDIS_URL", "redis://somewhere/0")
    named = plan(Settings())
    assert {service.name for service in named.services} == embedded - {"postgres", "valkey"}
    assert named.addresses.environment()["AFORO_DATABASE_URL"] == "postgresql://somewhere/db"


def test_dagster_gets_a_schema_of_its_own_over_psycopg2() -> None:
    environment = dagster_environment(Path("/data"), "postgresql://u:p@host/db?sslmode=require")
    url = make_url(environment["AFORO_DAGSTER_DATABASE_URL"])
    assert url.drivername == "postgresql+psycopg2"
    assert dict(url.query) == {
        "sslmode": "require",
        "options": "-csearch_path=dagster -csynchronous_commit=off",
    }


def test_dagster_tells_nobody_and_keeps_no_secret_in_its_settings(home: Path) -> None:
    dagster_home.write(home / "dagster", code_port=4000)
    text = (home / "dagster" / "dagster.yaml").read_text(encoding="utf-8")
    settings = yaml.safe_load(text)
    assert settings["telemetry"] == {"enabled": False}
    assert settings["storage"] == {"postgres": {"postgres_url": {"env": "AFORO_DAGSTER_DATABASE_URL"}}}


def test_every_process_is_told_not_to_report_home(home: Path) -> None:
    for service in plan(Settings()).services:
        if service.command.argv[0] == sys.executable:
            assert service.command.env["GX_ANALYTICS_ENABLED"] == "false"


def test_a_command_without_a_stack_says_how_to_start_one(home: Path) -> None:
    with pytest.raises(StackNotRunning, match="aforo up"):
        connected()


def test_the_state_of_a_dead_supervisor_is_not_believed(home: Path) -> None:
    state.write(home, state.StackState(supervisor_pid=os.getpid(), started_at=0, addresses={}))
    assert state.running(home) is None


def test_only_one_supervisor_holds_a_folder(home: Path) -> None:
    held = state.lock(home)
    assert held is not None
    assert state.supervisor_pid(home) == os.getpid()
    assert state.lock(home) is None
    held.close()
    assert not state.is_locked(home)
