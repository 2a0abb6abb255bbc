"""A cluster of three Valkeys on the loopback. Put here: starting it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from stack.embedded import Valkey, free_port
from stack.tether import Command
from tests.harness import wait_until
from tests.journeys.chaos import Node

SLOTS = 16384


@dataclass
class Cluster:
    """url: as settings name it. nodes: their processes, which may be killed."""

    url: str
    nodes: list[Node]
    servers: list[Valkey]

    def start(self, number: int) -> None:
        self.nodes[number].start()
        wait_until(self.servers[number].is_ready, what="a node to answer")


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    servers = [Valkey(folder / f"node-{n}", port=_port(), password="secret") for n in range(3)]
    nodes = []
    for number, server in enumerate(servers):
        server.prepare()
        with (server.data / "valkey.conf").open("a") as file:
            file.write("cluster-enabled yes\ncluster-node-timeout 2000\nmasterauth secret\n")
            file.write("cluster-require-full-coverage no\n")
        command = server.command()
        nodes.append(
            Node(f"node-{number}", Command(command.argv, cwd=server.data), folder / f"node-{number}.log")
        )
    made = Cluster(f"redis+cluster://:secret@127.0.0.1:{servers[0].port}/0", nodes, servers)
    with ExitStack() as stack:
        for number, node in enumerate(nodes):
            stack.callback(node.kill)
            made.start(number)
        _join(servers)
        yield made


def _join(servers: list[Valkey]) -> None:
    clients = [Redis.from_url(server.url) for server in servers]
    bounds = [SLOTS * number // 3 for number in range(4)]
    for number, client in enumerate(clients):
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number:
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", servers[0].port)

    def is_whole() -> bool:
        return all(
            ("cluster_state:ok" in str(found) and "cluster_known_nodes:3" in str(found))
            or (
                isinstance(found, dict)
                and found.get("cluster_state") == "ok"
                and found.get("cluster_known_nodes") == "3"
            )
            for found in (client.execute_command("CLUSTER INFO") for client in clients)
        )

    wait_until(is_whole, what="the cluster to be whole")
    for client in clients:
        client.close()


def _port() -> int:
    """A free one whose partner for the cluster's own talk (10,000 above) exists too."""
    while (port := free_port()) > 55_000:
        pass
    return port
