"""One `POST /build`: the context goes up, messages come down, and another thread may hang up at any moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import requests

from devflow.adapters.docker.connection import Connection, let_go
from devflow.adapters.docker.context import archive
from devflow.adapters.docker.dockerfile import Recipe
from devflow.ports.engine import BuildSpec


class BuildCall:
    """`messages` blocks and is read by one thread; `close` may be called by any other."""

    def __init__(self, connection: Connection, spec: BuildSpec, recipe: Recipe, query: Mapping[str, str]) -> None:
        self._connection, self._spec, self._recipe, self._query = connection, spec, recipe, query
        self._response: requests.Response | None = None
        self._abandoned = False

    def messages(self) -> Iterator[dict[str, Any]]:
        api = self._connection.stream()
        self._response = api.ask(
            "POST",
            "/build",
            data=self._body(),
            params=dict(self._query),
            headers={"Content-Type": "application/x-tar"},
            stream=True,
            timeout=(api.timeout, None),  # a step may be silent for as long as the build may take
        )
        if self._abandoned:
            self.close()
        yield from api.messages(self._response)

    def close(self) -> None:
        self._abandoned = True
        let_go(self._response)

    def _body(self) -> Iterator[bytes]:
        text = self._recipe.text
        replaced = {self._recipe.path: text.encode(errors="surrogateescape")} if text is not None else {}
        for piece in archive(self._spec.context, self._recipe.path, replaced):
            if self._abandoned:
                raise ConnectionAbortedError("nobody wants this build any more")
            yield piece
