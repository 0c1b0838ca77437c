"""The mail server that carries letters to people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Message:
    """One mail to one address, as text and as HTML. `id` stays the same when it is sent again, so that it is one."""

    id: str
    to: str
    subject: str
    text: str
    html: str


class Mail(Protocol):
    def send(self, message: Message) -> None:
        """Hand the message to the mail server.

        Raises Unavailable where trying again may help (no answer, refused for now, a setting that does not fit), and
        Invalid where it cannot (an address the server refuses for good, a text that is no header).
        """
        ...
