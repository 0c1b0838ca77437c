"""Visitors that ask again and again over connections they keep."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Load:
    """Start it, do something, stop it; then `seconds` holds how long each answer took, `failures` what went wrong."""

    port: int
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    clients: int = 4
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    lasted: float = 0.0

    def start(self) -> Load:
        self._over = threading.Event()
        self._began = time.perf_counter()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> Load:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.lasted = time.perf_counter() - self._began
        return self

    def run(self, seconds: float) -> Load:
        self.start()
        self._over.wait(seconds)
        return self.stop()

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.seconds) / self.lasted

    def _visit(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self._over.is_set():
            began = time.perf_counter()
            try:
                connection.request("GET", self.path, headers=dict(self.headers))
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            if answer.status == 200 and body:
                self.seconds.append(time.perf_counter() - began)
            else:
                self.failures.append(f"{answer.status} {body[:200]!r}")
        connection.close()
