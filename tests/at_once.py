"""Requests that begin together."""

from __future__ import annotations

import threading
from typing import Any

from flask import Flask

from tests.conftest import Person

Call = tuple[Person | None, str, str, dict[str, Any]]
"""Who asks (nobody in particular: None), and what."""


def at_once(app: Flask, *calls: Call) -> list[int]:
    """The answers to requests that begin together, in the order of their status."""
    ready, answers = threading.Barrier(len(calls)), list[int]()

    def ask(who: Person | None, method: str, path: str, body: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {who.token}"} if who else {}
        client = app.test_client()
        ready.wait(30)
        answers.append(client.open(f"/api/v1{path}", method=method, json=body, headers=headers).status_code)

    threads = [threading.Thread(target=ask, args=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sorted(answers)
