"""E-mail by SMTP: what a server refuses for good is told apart from what it may take later."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from domain.message import Message
from providers.notifications import NotAccepted, NotCarried, Smtp

MESSAGE = Message("msg_1", "acme", "INVOICE_REMINDER", "ann@x.example", "Reminder", "Please pay")


@contextmanager
def mail_server(to_recipients: str) -> Iterator[str]:
    """The URL of a server that answers recipients so."""

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            answers = {b"RCPT": to_recipients, b"DATA": "354 go on", b"QUIT": "221 bye"}
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                self.wfile.write(f"{answers.get(line[:4].upper(), '250 fine')}\r\n".encode())
                if line[:4].upper() == b"DATA":
                    while self.rfile.readline() != b".\r\n":
                        pass
                    self.wfile.write(b"250 taken\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"smtp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_message_that_is_taken_is_handed_over() -> None:
    with mail_server("250 fine") as url:
        Smtp(url, "billing@x.example").send(MESSAGE)


def test_a_recipient_refused_for_good_is_named_with_the_servers_reason() -> None:
    refused = pytest.raises(NotAccepted, match="550 no such user")
    with mail_server("550 no such user") as url, refused:
        Smtp(url, "billing@x.example").send(MESSAGE)


def test_a_recipient_refused_for_now_is_tried_again() -> None:
    with mail_server("451 try later") as url, pytest.raises(NotCarried, match="451 try later"):
        Smtp(url, "billing@x.example").send(MESSAGE)
