"""What `devflow doctor` says about a real mail server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.ports.mail_fixtures import SECRET, USER, StartSink
from tests.test_doctor import find


def test_mail(tmp_path: Path, start_sink: StartSink) -> None:
    assert find("Mail", tmp_path).state == "warn"
    plain: dict[str, Any] = {"smtp_host": "127.0.0.1", "smtp_from": "devflow@example.com", "smtp_tls": "off"}
    port = start_sink().port
    assert find("Mail", tmp_path, smtp_port=port, **plain).state == "ok"
    assert "SMTP_FROM" in find("Mail", tmp_path, smtp_port=port, **plain | {"smtp_from": ""}).mend
    unencrypted = find("Mail", tmp_path, smtp_port=port, **plain | {"smtp_tls": "starttls"})
    assert unencrypted.state == "fail" and "SMTP_TLS" in unencrypted.mend
    assert find("Mail", tmp_path, smtp_port=9, **plain).state == "fail"


def test_mail_with_a_wrong_password(tmp_path: Path, start_sink: StartSink) -> None:
    settings: dict[str, Any] = {"smtp_host": "127.0.0.1", "smtp_from": "a@example.com", "smtp_tls": "off"}
    settings |= {"smtp_port": start_sink(auth_required=True).port, "smtp_user": USER}
    assert find("Mail", tmp_path, smtp_pass=SECRET, **settings).state == "ok"
    check = find("Mail", tmp_path, smtp_pass="wrong", **settings)
    assert check.state == "fail" and "SMTP_PASS" in check.mend and "wrong" not in check.says
