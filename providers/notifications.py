"""Who carries messages to customers. Put here: the protocol, the outbox folder that is built in, and e-mail by SMTP. Keep out: what is
said and when (storage.services), keeping messages (storage)."""

from __future__ import annotations

import os
import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from domain.errors import PermanentFailure, TransientFailure
from domain.message import Message

_PATIENCE_SECONDS = 20.0


class NotCarried(TransientFailure):
    """The message could not be handed over; it waits and is tried again."""

    code = "MESSAGE_NOT_CARRIED"

    def __init__(self, message_id: str, why: str) -> None:
        super().__init__(f"message {message_id} could not be handed over: {why}; it is tried again")


class NotAccepted(PermanentFailure):
    """The mail server will not take the message for this recipient, now or later."""

    code = "MESSAGE_NOT_ACCEPTED"

    def __init__(self, message_id: str, recipient: str, why: str) -> None:
        super().__init__(
            f"message {message_id}: the mail server refuses {recipient}: {why}; correct the address"
        )


class BadMailServer(PermanentFailure):
    """The setting does not name a mail server."""

    code = "BAD_MAIL_SERVER"

    def __init__(self) -> None:
        super().__init__("AFORO_SMTP_URL is not an address; write smtp://user:password@host:587 or smtps://…")


class Notifier(Protocol):
    """Carries messages. Asked twice with one id, it may carry it twice but says so by the same Message-ID."""

    name: str

    def send(self, message: Message) -> None:
        """Hand the message over. Raises NotCarried: try again; NotAccepted: do not."""
        ...


class OutboxFolder:
    """A file for each message, as a mail program reads it; the same message is the same file."""

    name = "OUTBOX"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, message: Message) -> None:
        target = self._folder / message.tenant_id / f"{message.id}.eml"
        part = target.with_suffix(f".{os.getpid()}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(as_mail(message, "billing@localhost").as_bytes())
            part.replace(target)
        except OSError as error:
            raise NotCarried(message.id, str(error)) from None


class Smtp:
    """E-mail through a server. url: smtp:// (STARTTLS where offered) or smtps://, with user and password if it asks for them."""

    name = "SMTP"

    def __init__(self, url: str, sender: str) -> None:
        self._at = urlsplit(url)
        self._sender = sender
        if self._at.scheme not in ("smtp", "smtps") or not self._at.hostname:
            raise BadMailServer

    def send(self, message: Message) -> None:
        at, host = self._at, self._at.hostname or ""
        secure = ssl.create_default_context()
        try:
            with (
                smtplib.SMTP_SSL(host, at.port or 465, timeout=_PATIENCE_SECONDS, context=secure)
                if at.scheme == "smtps"
                else smtplib.SMTP(host, at.port or 587, timeout=_PATIENCE_SECONDS)
            ) as server:
                server.ehlo()
                if at.scheme == "smtp" and server.has_extn("starttls"):
                    server.starttls(context=secure)
                if at.username:
                    server.login(unquote(at.username), unquote(at.password or ""))
                server.send_message(as_mail(message, self._sender))
        except smtplib.SMTPRecipientsRefused as error:
            answers = [(code, said.decode(errors="replace")) for code, said in error.recipients.values()]
            why = "; ".join(f"{code} {said}" for code, said in answers)
            if all(code >= 500 for code, _ in answers):
                raise NotAccepted(message.id, message.recipient, why) from None
            raise NotCarried(message.id, why) from None
        except (OSError, smtplib.SMTPException) as error:
            raise NotCarried(message.id, str(error)) from None


def as_mail(message: Message, sender: str) -> EmailMessage:
    """The message as an e-mail; the same message is the same bytes."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, message.recipient, message.subject
    mail["Message-ID"] = f"<{message.tenant_id}.{message.id}@aforo>"
    mail.set_content(message.body)
    return mail


def notifier_of(home: str, smtp_url: str | None, sender: str | None) -> Notifier:
    """SMTP where a server is set, else the folder `outbox` of the data folder. Raises BadMailServer."""
    if smtp_url:
        return Smtp(smtp_url, sender or "billing@localhost")
    return OutboxFolder(Path(home) / "outbox")
