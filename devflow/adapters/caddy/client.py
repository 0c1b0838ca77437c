"""The edge in operation: talks to Caddy's admin API and to its listeners."""

from __future__ import annotations

import fcntl
import http.client
import json
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from devflow.adapters.caddy import process, render
from devflow.adapters.caddy.releases import Releases
from devflow.core.errors import Unavailable
from devflow.ports.edge import Answer, AppRelease, Release, Site

_ADMIN_TIMEOUT = 30.0
_LARGEST_ANSWER = 1024 * 1024


class CaddyEdge:
    """`devflow.ports.edge.Edge` by Caddy. Holds no state of its own: any number of processes may use one edge."""

    def __init__(
        self,
        folder: Path,
        admin: str = "",
        http_port: int = 8080,
        https_port: int = 8443,
        tls: Literal["off", "internal", "acme"] = "off",
        dashboard_hosts: tuple[str, ...] = (),
        dashboard_upstream: str = "127.0.0.1:8000",
        acme_directory: str = "",
        acme_email: str = "",
        acme_ca_file: str = "",
        trusted_proxies: tuple[str, ...] = (),
    ) -> None:
        self.settings = render.EdgeSettings(
            folder.resolve(),
            admin,
            http_port,
            https_port,
            tls,
            tuple(host.lower() for host in dashboard_hosts),
            dashboard_upstream,
            acme_directory,
            acme_email,
            acme_ca_file,
            trusted_proxies,
        )
        self.folder = self.settings.folder
        self.releases = Releases(self.folder / "sites")

    def command(self) -> process.Command:
        """What starts this edge; writes its first configuration. Stop it with SIGTERM, after `STOP_GRACE` SIGKILL."""
        return process.prepare(self.settings)

    def ready(self) -> bool:
        """Does Caddy take orders, and does its listener accept?"""
        try:
            self._order("GET", "/config/apps/http/http_port", timeout=2)
            with socket.create_connection(("127.0.0.1", self.settings.http_port), timeout=2):
                return True
        except (OSError, Unavailable):
            return False

    def publish(self, sites: Iterable[Site]) -> None:
        """One load of the whole configuration; Caddy itself ignores it when it equals the one it has."""
        known = sorted(render.checked(sites, self.settings.dashboard_hosts), key=lambda site: site.key)
        document = render.config(self.settings, known)
        self.releases.reserve({site.key for site in known})
        with (self.folder / ".publish.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._order("POST", "/load", document)
            process.keep(self.folder, document, known)

    def switch(self, key: str, release: Release) -> None:
        self.releases.switch(key, release)

    def current(self, key: str) -> Release | None:
        return self.releases.current(key)

    def withdraw(self, key: str) -> None:
        self.releases.withdraw(key)

    def ask(self, host: str, path: str, timeout: float) -> Answer:
        """Over loopback, so it works before the name does. The body is cut after 1 MiB."""
        connection = self._browser(host, timeout)
        try:
            connection.request("GET", path, headers={"Host": self._authority(host), "User-Agent": "DevFlow"})
            response = connection.getresponse()
            closed = response.getheader("X-DevFlow-Closed") is not None
            release = response.getheader("X-DevFlow-Release") or None
            return Answer(response.status, release, response.read(_LARGEST_ANSWER), closed)
        except ssl.SSLError as error:
            raise Unavailable(f"The edge has no certificate for {host} yet ({error.reason}).") from error
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"The edge did not answer for {host}{path}: {_said(error)}.") from error
        finally:
            connection.close()

    def in_flight(self, release: Release) -> int | None:
        """Caddy counts by site, not by release: 0 when the whole site is quiet, else None (it cannot tell)."""
        sites = self.releases.sites_serving(release) if isinstance(release, AppRelease) else []
        if not sites:
            return None
        mine = {f"{{file.{site}/current/dial}}" for site in sites}
        upstreams = self._order("GET", "/reverse_proxy/upstreams") or []
        busy = sum(upstream["num_requests"] for upstream in upstreams if upstream["address"] in mine)
        return None if busy else 0

    def _secured(self, host: str) -> bool:
        if self.settings.tls == "off":
            return False
        sites = process.read_sites(self.folder)
        return host in self.settings.dashboard_hosts or any(host in site.hosts for site in sites if site.tls)

    def _authority(self, host: str) -> str:
        port, usual = (self.settings.https_port, 443) if self._secured(host) else (self.settings.http_port, 80)
        return host if port == usual else f"{host}:{port}"

    def _browser(self, host: str, timeout: float) -> http.client.HTTPConnection:
        if not self._secured(host):
            return http.client.HTTPConnection("127.0.0.1", self.settings.http_port, timeout=timeout)
        return _Secure(host, self.settings.https_port, timeout, self._trust())

    def _trust(self) -> ssl.SSLContext:
        """The edge's own authority is checked; a public certificate is the business of the browser outside."""
        root = self.folder / "certificates/pki/authorities/local/root.crt"
        if self.settings.tls == "internal" and root.is_file():
            return ssl.create_default_context(cafile=str(root))
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def _order(self, method: str, path: str, body: Any = None, timeout: float = _ADMIN_TIMEOUT) -> Any:
        connection = _admin(self.settings, timeout)
        try:
            text = None if body is None else json.dumps(body, separators=(",", ":"))
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"The edge does not answer: {_said(error)}. Check that its process runs.") from error
        finally:
            connection.close()
        if response.status >= 400:
            reason = answer.decode("utf-8", "replace").strip()
            raise Unavailable(f"The edge refused an order and serves as before: {reason}")
        return json.loads(answer) if answer.strip() else None


class _Local(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("127.0.0.1", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class _Secure(http.client.HTTPConnection):
    """TLS to loopback for a name that need not resolve."""

    def __init__(self, name: str, port: int, timeout: float, trust: ssl.SSLContext) -> None:
        super().__init__("127.0.0.1", port, timeout=timeout)
        self.name, self.trust = name, trust

    def connect(self) -> None:
        super().connect()
        self.sock = self.trust.wrap_socket(self.sock, server_hostname=self.name)


def _admin(settings: render.EdgeSettings, timeout: float) -> http.client.HTTPConnection:
    if not settings.admin:
        return _Local(settings.folder / "admin.sock", timeout)
    if settings.admin.startswith("unix/"):
        return _Local(Path(settings.admin.removeprefix("unix/").partition("|")[0]), timeout)
    return http.client.HTTPConnection(settings.admin, timeout=timeout)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
