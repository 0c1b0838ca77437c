"""The SMTP adapter against a real mail server."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from devflow.adapters.smtp import SmtpMail
from devflow.core.errors import Invalid, Unavailable
from devflow.ports.mail import Message
from tests.ports.mail_fixtures import SECRET, USER, Certificate, Sink, StartSink

LETTER = Message("0192-letter", "ann@example.com", "Grüße — a test", "Hello Änn\n", "<p>Hello <b>Änn</b></p>")


def mail(sink: Sink, **options: Any) -> SmtpMail:
    return SmtpMail("localhost", sink.port, **{"tls": "off", "sender": "DevFlow <devflow@example.org>", **options})


def test_a_mail_arrives_as_text_and_html_with_its_headers(start_sink: StartSink) -> None:
    sink = start_sink()
    mail(sink).send(LETTER)
    (arrived,) = sink.mails
    assert arrived["To"] == LETTER.to and arrived["Subject"] == LETTER.subject
    assert arrived["From"] == "DevFlow <devflow@example.org>" and sink.senders == ["devflow@example.org"]
    assert arrived["Message-ID"] == "<0192-letter@example.org>" and arrived["Date"]
    assert arrived["Auto-Submitted"] == "auto-generated" and "devflow.example.org" in arrived["List-Id"]
    text, html = arrived.get_body(("plain",)), arrived.get_body(("html",))
    assert text is not None and html is not None
    assert text.get_content().strip() == LETTER.text.strip() and html.get_content().strip() == LETTER.html


def test_starttls_comes_before_the_password(start_sink: StartSink, certificate: Certificate) -> None:
    sink = start_sink(tls_context=certificate.server, require_starttls=True, auth_required=True)
    mail(sink, tls="starttls", user=USER, password=SECRET, trust=certificate.trust).send(LETTER)
    assert len(sink.mails) == 1 and sink.encrypted == [True] and sink.users == [USER]


def test_tls_from_the_first_byte(start_sink: StartSink, certificate: Certificate) -> None:
    sink = start_sink(implicit=certificate.server)
    mail(sink, tls="tls", trust=certificate.trust).send(LETTER)
    assert len(sink.mails) == 1


def test_a_certificate_nobody_vouches_for_is_refused(start_sink: StartSink, certificate: Certificate) -> None:
    sink = start_sink(tls_context=certificate.server)
    with pytest.raises(Unavailable, match="certificate"):
        mail(sink, tls="starttls").send(LETTER)
    assert sink.mails == []


def test_without_encryption_where_it_is_wanted_nothing_is_sent(start_sink: StartSink) -> None:
    sink = start_sink()
    with pytest.raises(Unavailable, match="SMTP_TLS"):
        mail(sink, tls="starttls", user=USER, password=SECRET).send(LETTER)
    assert sink.mails == [] and sink.users == []


def test_a_wrong_password_is_named_and_can_be_mended(start_sink: StartSink, certificate: Certificate) -> None:
    sink = start_sink(tls_context=certificate.server, auth_required=True)
    with pytest.raises(Unavailable, match="SMTP_PASS") as raised:
        mail(sink, tls="starttls", user=USER, password="wrong", trust=certificate.trust).send(LETTER)
    assert "wrong" not in raised.value.message


def test_a_server_that_is_down(start_sink: StartSink) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable, match="does not answer"):
            SmtpMail("127.0.0.1", taken.getsockname()[1], "off", sender="a@example.org").send(LETTER)


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = SmtpMail("127.0.0.1", silent.getsockname()[1], "off", sender="a@example.org", timeout=0.2)
        with pytest.raises(Unavailable, match="does not answer"):
            client.send(LETTER)


def test_a_server_that_hangs_up_in_the_middle() -> None:
    def hang_up() -> None:
        connection, _ = silent.accept()
        with connection:
            connection.sendall(b"220 hello\r\n")
            connection.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(Unavailable):
            SmtpMail("127.0.0.1", silent.getsockname()[1], "off", sender="a@example.org").send(LETTER)
        thread.join()


@pytest.mark.parametrize(("answer", "error"), [("450 later", Unavailable), ("550 no such user", Invalid)])
def test_a_refused_recipient(start_sink: StartSink, answer: str, error: type[Exception]) -> None:
    sink = start_sink()
    sink.refused[LETTER.to] = answer
    with pytest.raises(error, match=answer.split(" ", 1)[1]):
        mail(sink).send(LETTER)


def test_not_now_then_yes_is_one_mail_with_the_same_id(start_sink: StartSink) -> None:
    sink = start_sink()
    sink.answers = ["451 greylisted", "250 OK"]
    client = mail(sink)
    with pytest.raises(Unavailable, match="greylisted"):
        client.send(LETTER)
    client.send(LETTER)
    assert [arrived["Message-ID"] for arrived in sink.mails] == ["<0192-letter@example.org>"]


def test_refused_for_good(start_sink: StartSink) -> None:
    sink = start_sink()
    sink.answers = ["554 spam"]
    with pytest.raises(Invalid, match="spam"):
        mail(sink).send(LETTER)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to", "ann@example.com\r\nBcc: all@example.com"),
        ("to", "ann@example.com\nRCPT TO:<all@example.com>"),
        ("subject", "Hello\r\nBcc: all@example.com"),
        ("subject", "Hello\n\n<script>"),
        ("subject", "Hello\x00"),
        ("id", "1>\r\nX-Evil: yes"),
        ("to", "ann@example.com, all@example.com"),
    ],
)
def test_nobody_writes_headers_of_their_own(start_sink: StartSink, field: str, value: str) -> None:
    sink = start_sink()
    with pytest.raises(Invalid):
        mail(sink).send(Message(**{**vars(LETTER), field: value}))
    assert sink.mails == []


def test_without_a_sender_it_says_which_setting_is_missing(start_sink: StartSink) -> None:
    with pytest.raises(Unavailable, match="SMTP_FROM"):
        mail(start_sink(), sender="").send(LETTER)


def test_a_line_of_text_that_is_a_dot_does_not_end_the_mail(start_sink: StartSink) -> None:
    sink = start_sink()
    mail(sink).send(Message("1", LETTER.to, "Dots", "above\n.\nbelow\n", "<p>x</p>"))
    text = sink.mails[0].get_body(("plain",))
    assert text is not None and "below" in text.get_content()
