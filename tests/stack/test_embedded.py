"""Claims about the servers from wheels as the stack runs them: durable, private, and fit for any folder."""

from __future__ import annotations

import shutil
import signal
import socket
import stat
from pathlib import Path

import psycopg
import redis

from stack.embedded import Postgres, Valkey, free_port
from tests.harness import running


def test_postgres_keeps_its_durable_defaults_and_opens_no_port(home: Path) -> None:
    server = Postgres(home / "postgres")
    with running(server, home / "log"), psycopg.connect(server.url("postgres")) as connection:
        for name, value in {"fsync": "on", "synchronous_commit": "on", "listen_addresses": ""}.items():
            assert connection.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,)
        connection.close()


def test_postgres_runs_in_a_folder_too_deep_for_a_socket(home: Path) -> None:
    server = Postgres(home / ("deep" * 20) / "postgres")
    with running(server, home / "log"):
        assert server.is_ready()
    assert not server.is_ready()
    shutil.rmtree(server.sockets)


def test_an_initialisation_cut_short_is_begun_anew(home: Path) -> None:
    (home / "postgres" / "base").mkdir(parents=True)
    server = Postgres(home / "postgres")
    with running(server, home / "log"):
        server.create_database()
        server.create_database()
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_what_valkey_answered_survives_a_kill(home: Path) -> None:
    server = Valkey(home / "valkey", port=free_port(), password="secret")
    with running(server, home / "log") as process, redis.Redis.from_url(server.url) as client:
        client.xadd("log:{t}", {"b": "1"})
        process.send_signal(signal.SIGKILL)
        process.wait()
    with running(server, home / "log"), redis.Redis.from_url(server.url) as client:
        assert client.xlen("log:{t}") == 1


def test_valkey_lets_nobody_in_without_the_password(home: Path) -> None:
    server = Valkey(home / "valkey", port=free_port(), password="secret")
    with running(server, home / "log"), redis.Redis(port=server.port) as stranger:
        try:
            stranger.ping()
        except redis.AuthenticationError:
            return
    raise AssertionError("a stranger got in")


def test_valkeys_socket_is_its_owners_alone(home: Path) -> None:
    server = Valkey(home / "valkey", port=free_port(), password="secret")
    with running(server, home / "log"), redis.Redis.from_url(server.url) as client:
        assert server.socket is not None
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
        assert str(server.socket) in client.client_info()["addr"]


def test_a_folder_too_deep_for_a_socket_is_reached_by_the_port(home: Path) -> None:
    server = Valkey(home / ("deep" * 25) / "valkey", port=free_port(), password="secret")
    with running(server, home / "log"), redis.Redis.from_url(server.url) as client:
        assert server.socket is None
        assert client.client_info()["addr"].startswith("127.0.0.1:")


def test_the_configuration_with_the_password_is_private(home: Path) -> None:
    Valkey(home / "valkey", port=1, password="secret").prepare()
    assert stat.S_IMODE((home / "valkey" / "valkey.conf").stat().st_mode) == 0o600


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        assert free_port(taken) != taken
    assert free_port(taken) == taken
