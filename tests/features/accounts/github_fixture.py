"""A stand-in for GitHub that speaks its protocol over a socket: the consent page, tokens, the user and their addresses.

It is as strict as GitHub: client, secret, callback, PKCE and scopes are checked, a code works once and belongs to who
asked for it, and a refused code is answered with 200 and an `error`.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, redirect, request
from werkzeug.serving import make_server

PAGE = """<!doctype html><html lang="en"><title>GitHub</title><h1>Authorize DevFlow</h1>
<form method="post"><button name="yes" value="1">Authorize</button><button name="no" value="1">Cancel</button></form>"""


@dataclass
class GithubUser:
    """Who is signed in at this GitHub."""

    id: int = 583231
    login: str = "octocat"
    name: str | None = "The Octocat"
    emails: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"email": "private@users.noreply.github.com", "primary": False, "verified": True},
            {"email": "octocat@example.com", "primary": True, "verified": True},
        ]
    )


@dataclass
class Github:
    """The running server and what it knows."""

    url: str = ""
    client_id: str = "Iv1.devflow"
    secret: str = "github-secret"
    user: GithubUser = field(default_factory=GithubUser)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: dict[str, GithubUser] = field(default_factory=dict)
    broken: bool = False
    asked: list[str] = field(default_factory=list)

    def settings(self) -> dict[str, Any]:
        return {
            "github_url": self.url, "github_api_url": f"{self.url}/api/v3", "github_client_id": self.client_id,
            "github_client_secret": self.secret,
        }  # fmt: skip

    def app(self) -> Flask:
        app = Flask("github")
        app.before_request(self._note)
        app.add_url_rule("/login/oauth/authorize", view_func=self._authorize, methods=["GET", "POST"])
        app.add_url_rule("/login/oauth/access_token", view_func=self._access_token, methods=["POST"])
        app.add_url_rule("/api/v3/user", view_func=self._user)
        app.add_url_rule("/api/v3/user/emails", view_func=self._emails)
        app.add_url_rule("/api/v3/applications/<client_id>/grant", view_func=self._grant, methods=["DELETE"])
        return app

    def _note(self) -> Any:
        self.asked.append(f"{request.method} {request.path}")
        return ("<h1>Unicorn!</h1>", 503) if self.broken else None

    def _authorize(self) -> Any:
        asked = request.args
        if asked.get("client_id") != self.client_id or asked.get("response_type") != "code":
            return "unknown client", 404
        if request.method == "GET":
            return PAGE
        if "no" in request.form:
            return self._back(error="access_denied", error_description="The user has denied your application access.")
        code = secrets.token_hex(10)
        self.codes[code] = {
            "redirect_uri": asked["redirect_uri"], "scope": asked.get("scope", ""),
            "challenge": asked.get("code_challenge", ""), "method": asked.get("code_challenge_method", ""),
        }  # fmt: skip
        return self._back(code=code)

    def _back(self, **answer: str) -> Any:
        return redirect(f"{request.args['redirect_uri']}?{urlencode({**answer, 'state': request.args['state']})}")

    def _access_token(self) -> Response:
        form = request.form
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.secret):
            return jsonify(error="incorrect_client_credentials")
        grant = self.codes.pop(form.get("code", ""), None)
        if grant is None:
            return jsonify(error="bad_verification_code", error_description="The code passed is incorrect or expired.")
        made = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        if grant["method"] != "S256" or grant["challenge"] != made.decode():
            return jsonify(error="bad_verification_code", error_description="The code verifier does not match.")
        if grant["redirect_uri"] != form.get("redirect_uri"):
            return jsonify(error="redirect_uri_mismatch")
        token = f"gho_{secrets.token_hex(18)}"
        self.tokens[token] = self.user
        return jsonify(access_token=token, scope=grant["scope"].replace(" ", ","), token_type="bearer")

    def _grant(self, client_id: str) -> Any:
        """Ends every token the owner of this one has given the app, as the app alone may ask."""
        asked = request.authorization
        if asked is None or (asked.username, asked.password) != (self.client_id, self.secret):
            return jsonify(message="Bad credentials"), 401
        owner = self.tokens.get((request.get_json() or {}).get("access_token", ""))
        if client_id != self.client_id or owner is None:
            return jsonify(message="Not Found"), 404
        self.tokens = {token: user for token, user in self.tokens.items() if user != owner}
        return "", 204

    def _whose(self) -> GithubUser | None:
        return self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))

    def _user(self) -> Any:
        user = self._whose()
        if user is None:
            return jsonify(message="Bad credentials"), 401
        avatar = f"https://avatars.example.com/u/{user.id}"
        return jsonify(id=user.id, login=user.login, name=user.name, email=None, avatar_url=avatar)

    def _emails(self) -> Any:
        user = self._whose()
        return jsonify(user.emails) if user else (jsonify(message="Bad credentials"), 401)


@contextmanager
def running_github() -> Iterator[Github]:
    """Run it on a free port."""
    github = Github()
    server = make_server("127.0.0.1", 0, github.app(), threaded=True)
    github.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield github
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
