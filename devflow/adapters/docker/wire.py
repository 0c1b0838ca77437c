"""The SDK's client, with the calls it has no public method for. Its private ones are used here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import requests
from docker import APIClient
from docker.types import CancellableStream


class Client(APIClient):
    """A client of the engine's HTTP API. Everything raises what the SDK raises."""

    def ask(self, method: str, path: str, *ids: str, json: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """One call; `path` holds `{0}` for each of `ids`. Returns the `requests.Response`, refusals raised."""
        sdk: Any = self
        url = sdk._url(path, *ids)
        if json is not None:
            response = sdk._post_json(url, data=dict(json), **options)
        else:
            response = (sdk._post if method == "POST" else sdk._get)(url, **options)
        sdk._raise_for_status(response)
        return response

    def messages(self, response: requests.Response) -> Iterator[dict[str, Any]]:
        """The JSON objects of a streamed answer, each as soon as it is there."""
        sdk: Any = self
        yield from sdk._stream_helper(response, decode=True)

    def chunks(self, response: requests.Response) -> Iterator[bytes]:
        """The pieces of a streamed answer, each as soon as it is there."""
        sdk: Any = self
        yield from sdk._stream_helper(response)


def hang_up(response: requests.Response) -> None:
    """Close an answer that another thread is reading, and wake that thread."""
    CancellableStream(iter(()), response).close()


def reader(response: Any) -> Any:
    """The buffered file under a hijacked answer; the SDK's own reader drops what is buffered already."""
    file = response.raw._fp.fp
    sock = getattr(getattr(file, "raw", None), "_sock", None)
    if sock is not None:
        sock.settimeout(None)  # silence is no error
    return file


def sock(response: Any) -> Any:
    """The socket to write to after an upgrade."""
    return response.raw._connection.sock
