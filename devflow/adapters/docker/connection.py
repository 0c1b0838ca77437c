"""The line to one Docker engine: made when first needed, and every failure of it said in one way."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
import urllib3
from docker.errors import APIError, DockerException, TLSParameterError
from docker.tls import TLSConfig

from devflow.adapters.docker.wire import Client, hang_up
from devflow.core.errors import Conflict, DomainError, Invalid, NotFound, Unavailable

SOCKET = "unix:///var/run/docker.sock"
CALL = 60
"""Seconds an ordinary call may take."""
PING = 10
"""Seconds an engine has to answer a ping while a stream is silent."""

GONE = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


class Connection:
    """A Docker engine at `host` (empty: the local socket); `certificates` holds ca.pem, cert.pem, key.pem for TLS."""

    def __init__(self, host: str = "", certificates: Path | None = None) -> None:
        self.host = host or SOCKET
        self._certificates = certificates
        self._lock = threading.Lock()
        self._api: Client | None = None

    @property
    def local(self) -> bool:
        """Does the engine share this machine's /proc, routes and control groups?"""
        return self.host.startswith("unix://")

    @property
    def api(self) -> Client:
        """The shared client for short calls; raises `Unavailable` when the engine does not answer."""
        with self._lock:
            if self._api is None:
                with self.translated():
                    self._api = self._client("auto", CALL)
            return self._api

    def stream(self, timeout: int = CALL) -> Client:
        """A client of its own for one long answer; nobody else waits for its sockets."""
        version = self.api.api_version
        with self.translated():
            return self._client(version, timeout)

    def _client(self, version: str, timeout: int) -> Client:
        tls: TLSConfig | bool = False
        if self._certificates:
            pair = (str(self._certificates / "cert.pem"), str(self._certificates / "key.pem"))
            tls = TLSConfig(client_cert=pair, ca_cert=str(self._certificates / "ca.pem"), verify=True)
        ssh = self.host.startswith("ssh://")
        return Client(base_url=self.host, version=version, timeout=timeout, tls=tls, use_ssh_client=ssh)

    def answers(self) -> bool:
        """Is somebody there right now?"""
        try:
            return bool(self.api.ask("GET", "/_ping", timeout=PING).ok)
        except (DomainError, *GONE):
            return False

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what the SDK and the network raise into the errors of the house."""
        try:
            yield
        except APIError as error:
            raise refusal(error) from error
        except TLSParameterError as error:
            raise Unavailable(
                f"The TLS certificates of the Docker engine at {self.host} cannot be used: {error}"
            ) from error
        except GONE as error:
            raise self.unavailable() from error

    def unavailable(self) -> Unavailable:
        """The one sentence for an engine that is away."""
        where = self.host.removeprefix("unix://")
        return Unavailable(
            f"The Docker engine does not answer at {where}. "
            "Start it (for example: systemctl start docker) and try again."
        )


def refusal(error: APIError) -> DomainError:
    """An answer that says no, as one of our errors."""
    why = str(error.explanation or error).strip().rstrip(".")
    match error.status_code:
        case 404:
            return NotFound(f"The Docker engine does not have it: {why}.")
        case 409:
            return Conflict(f"The Docker engine refused: {why}.")
        case code if code is not None and 400 <= code < 500:
            return Invalid(f"The Docker engine refused: {why}.")
    return Unavailable(f"The Docker engine could not do this: {why}. Look at its log and try again.")


def let_go(response: requests.Response | None) -> None:
    """Hang up if there is anything to hang up, whatever state it is in."""
    try:
        if response is not None:
            hang_up(response)
    except GONE:
        pass
