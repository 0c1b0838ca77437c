"""BuildKit's session: it asks us for build secrets over HTTP/2 (gRPC) on an upgraded connection.

Secrets travel to the step that mounts them and nowhere else: not into a layer, a label or the history.
"""

from __future__ import annotations

import struct
import threading
import uuid
from collections.abc import Mapping
from typing import Any

import requests
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from h2.exceptions import H2Error

from devflow.adapters.docker.connection import GONE, Connection, let_go
from devflow.adapters.docker.trace import fields, text, varint
from devflow.adapters.docker.wire import reader, sock

GET_SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
OK, NOT_FOUND, UNIMPLEMENTED = "0", "5", "12"


class Session:
    """Serves `secrets` while it is open (`with`); `id` goes to the build as `session`."""

    def __init__(self, connection: Connection, secrets: Mapping[str, str]) -> None:
        self.id = uuid.uuid4().hex
        self._connection = connection
        self._server = SecretServer({name: value.encode() for name, value in secrets.items()})
        self._response: requests.Response | None = None

    def __enter__(self) -> Session:
        api = self._connection.stream()
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "h2c",
            "X-Docker-Expose-Session-Uuid": self.id,
            "X-Docker-Expose-Session-Name": "devflow",
            "X-Docker-Expose-Session-Grpc-Method": GET_SECRET,
        }
        with self._connection.translated():
            response = self._response = api.ask("POST", "/session", headers=headers, stream=True)
            ends = reader(response), sock(response)
        threading.Thread(target=self._serve, args=ends, name="build-secrets", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        let_go(self._response)

    def _serve(self, source: Any, sink: Any) -> None:
        try:
            sink.sendall(self._server.hello())
            while data := source.read1(65536):
                sink.sendall(self._server.receive(data))
        except (H2Error, *GONE):
            return  # the build ended, or says itself that it got no secret


class SecretServer:
    """The protocol alone: bytes from the engine in, bytes for the engine out."""

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        self._secrets = secrets
        self._h2 = H2Connection(H2Configuration(client_side=False))
        self._paths: dict[int, str] = {}
        self._bodies: dict[int, bytes] = {}
        self._waiting: dict[int, tuple[bytes, str]] = {}

    def hello(self) -> bytes:
        self._h2.initiate_connection()
        return self._h2.data_to_send()

    def receive(self, data: bytes) -> bytes:
        for event in self._h2.receive_data(data):
            match event:
                case RequestReceived():
                    self._paths[event.stream_id] = next(
                        text(value) for name, value in event.headers or [] if text(name) == ":path"
                    )
                    self._bodies[event.stream_id] = b""
                case DataReceived():
                    self._bodies[event.stream_id] += event.data
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    self._answer(event.stream_id)
                case StreamReset():
                    self._waiting.pop(event.stream_id, None)
                case WindowUpdated():
                    self._push()
        return self._h2.data_to_send()

    def _answer(self, stream: int) -> None:
        path, body = self._paths.pop(stream), self._bodies.pop(stream)
        status, message = OK, b""
        if path == GET_SECRET:
            value = self._secrets.get(text(dict(fields(body[5:])).get(1)))
            status, message = (NOT_FOUND, b"") if value is None else (OK, b"\x0a" + varint(len(value)) + value)
        elif path == HEALTH:
            message = SERVING
        else:
            status = UNIMPLEMENTED
        framed = b"\0" + struct.pack(">I", len(message)) + message if status == OK else b""
        self._h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        self._waiting[stream] = (framed, status)
        self._push()

    def _push(self) -> None:
        """Send as much as the windows allow; the rest goes when the engine has read on."""
        for stream, (data, status) in list(self._waiting.items()):
            while data and (room := self._room(stream)):
                self._h2.send_data(stream, data[:room])
                data = data[room:]
            if data:
                self._waiting[stream] = (data, status)
                continue
            del self._waiting[stream]
            self._h2.send_headers(stream, [("grpc-status", status)], end_stream=True)

    def _room(self, stream: int) -> int:
        return min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
