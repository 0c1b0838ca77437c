"""Mail by SMTP (RFC 5321), with the standard library."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, parseaddr
from typing import Literal

from devflow.core.clock import now
from devflow.core.errors import DomainError, Invalid, Unavailable
from devflow.ports.mail import Message

TIMEOUT = 20.0
"""Seconds for each step of the conversation."""
IMPLICIT_TLS = 465
"""The port where TLS begins with the first byte (RFC 8314)."""


class SmtpMail:
    """A mail server at `host`. Certificates are checked with `trust`, by default what this machine trusts."""

    def __init__(
        self,
        host: str,
        port: int = 587,
        tls: Literal["starttls", "tls", "off"] = "starttls",
        user: str = "",
        password: str = "",
        sender: str = "",
        trust: ssl.SSLContext | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._host, self._port, self._timeout = host, port, timeout
        self._tls = "tls" if tls == "starttls" and port == IMPLICIT_TLS else tls
        self._user, self._password = user, password
        self._name, self._address = parseaddr(sender or user)
        self._trust = trust

    def send(self, message: Message) -> None:
        if not self._host:
            raise Unavailable("No mail server is set. Set SMTP_HOST.")
        if "@" not in self._address:
            raise Unavailable("No sender is set. Set SMTP_FROM to an address such as devflow@example.com.")
        written = self._written(message)
        with self._connection() as server:
            try:
                server.send_message(written, self._address, [message.to])
            except smtplib.SMTPRecipientsRefused as error:
                code, reason = error.recipients[message.to]
                raise _refused(f"The mail server refuses {message.to}", code, reason) from error
            except smtplib.SMTPSenderRefused as error:
                text = f"The mail server refuses the sender {self._address}"
                raise Unavailable(_because(text, error.smtp_error)) from error
            except smtplib.SMTPResponseException as error:
                raise _refused("The mail server refuses this mail", error.smtp_code, error.smtp_error) from error

    def _written(self, message: Message) -> EmailMessage:
        for value in (message.to, message.subject, message.id):
            if any(ord(character) < 32 or ord(character) == 127 for character in value):
                raise Invalid("A line break has no place in the head of a mail.", {"to": ["Not an address."]})
        domain = self._address.rpartition("@")[2]
        written = EmailMessage(policy=SMTP)
        try:
            written["From"] = formataddr((self._name or "DevFlow", self._address))
            written["To"] = message.to
            written["Subject"] = message.subject
        except (ValueError, IndexError) as error:
            raise Invalid("This is not an address.", {"to": ["Not an address."]}) from error
        if [address.addr_spec for address in written["To"].addresses] != [message.to]:
            raise Invalid("This is not one address.", {"to": ["Not one address."]})
        written["Date"] = format_datetime(now())
        written["Message-ID"] = f"<{message.id}@{domain}>"
        written["List-Id"] = f"DevFlow <devflow.{domain}>"
        written["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notes in answer
        written["X-Auto-Response-Suppress"] = "All"
        written.set_content(message.text)
        written.add_alternative(message.html, subtype="html")
        return written

    @contextmanager
    def _connection(self) -> Iterator[smtplib.SMTP]:
        where = f"The mail server {self._host}:{self._port}"
        server: smtplib.SMTP | None = None
        try:
            server = self._opened()
            yield server
        except DomainError:
            raise
        except ssl.SSLCertVerificationError as error:
            raise Unavailable(f"{where} has a certificate that does not hold: {error.verify_message}.") from error
        except smtplib.SMTPAuthenticationError as error:
            text = f"{where} does not accept SMTP_USER and SMTP_PASS"
            raise Unavailable(_because(text, error.smtp_error)) from error
        except smtplib.SMTPNotSupportedError as error:
            raise Unavailable(f"{where} cannot do what SMTP_TLS or SMTP_USER asks for: {error}") from error
        except (smtplib.SMTPException, OSError) as error:
            raise Unavailable(f"{where} does not answer: {error}") from error
        finally:
            if server is not None:
                with suppress(smtplib.SMTPException, OSError):
                    server.quit()  # an accepted mail stays accepted, however the goodbye goes
                server.close()

    def _opened(self) -> smtplib.SMTP:
        trust = self._trust or ssl.create_default_context()
        if self._tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout, context=trust)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout)
        try:
            if self._tls == "starttls":
                server.starttls(context=trust)  # never on without it: a password is to follow
            if self._user:
                server.login(self._user, self._password)
        except BaseException:
            server.close()
            raise
        return server


def _refused(text: str, code: int, reason: bytes | str) -> DomainError:
    """For now (4xx: try again) or for good (5xx)."""
    sentence = _because(text, reason)
    return Unavailable(sentence) if 400 <= code < 500 else Invalid(sentence, {"to": [sentence]})


def _because(text: str, reason: bytes | str) -> str:
    words = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
    return f"{text}: {' '.join(words.split())[:300]}"
