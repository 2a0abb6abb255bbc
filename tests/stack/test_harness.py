"""Claims about the servers all other tests stand on."""

from __future__ import annotations

import psycopg
import redis


def test_each_test_gets_a_database_of_its_own(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE only_here (id int)")


def test_nothing_of_the_last_test_is_left_in_the_database(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('only_here')").fetchone() == (None,)


def test_text_sorts_the_same_on_every_machine(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT x FROM unnest(ARRAY['a','B','ä','_']) x ORDER BY x").fetchall()
    assert [row[0] for row in rows] == ["B", "_", "a", "ä"]


def test_a_reply_of_valkey_means_it_is_on_disk(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert client.config_get("append*")["appendfsync"] == "always"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
