"""A real mail server on this machine that keeps what it gets and refuses what it is told to."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.free_ports import free_port

USER, SECRET = "devflow", "sesame"


@dataclass
class Sink:
    """What arrived, and what is answered: `answers` are taken first, one a mail; `refused` are addresses."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.answers:
            answer = self.answers.pop(0)
            if not answer.startswith("250"):
                return answer
        mail = message_from_bytes(envelope.original_content or b"", policy=POLICY)
        self.mails.append(mail)
        self.senders.append(str(envelope.mail_from))
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    def check(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        self.users.append(data.login.decode())
        good = (data.login, data.password) == (USER.encode(), SECRET.encode())
        return AuthResult(success=good, handled=False)


@dataclass(frozen=True)
class Certificate:
    """A certificate for localhost, for a server and for who trusts it."""

    path: Path
    key: Path

    @property
    def server(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.path, self.key)
        return context

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.path))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begin = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    found = Certificate(folder / "cert.pem", folder / "key.pem")
    found.path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    found.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return found


StartSink = Callable[..., Sink]


@pytest.fixture
def start_sink() -> Iterator[StartSink]:
    """Start a mail server on a free port: `start_sink(tls_context=…, auth_required=…)`, `implicit=` for TLS at once."""
    running: list[Controller] = []

    def start(implicit: ssl.SSLContext | None = None, port: int = 0, **options: Any) -> Sink:
        sink = Sink(port or free_port())
        if options.get("auth_required"):
            options |= {"authenticator": sink.check, "auth_require_tls": "tls_context" in options}
        controller = Controller(sink, hostname="127.0.0.1", port=sink.port, ssl_context=implicit, **options)
        controller.start()
        running.append(controller)
        return sink

    yield start
    for controller in running:
        controller.stop(no_assert=True)
