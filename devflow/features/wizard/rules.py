"""What the wizard remembers between its steps, and how a key pair is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from devflow.features.projects.schemas import ProjectIn
from devflow.ports.git import Credentials, Repository


@dataclass(frozen=True)
class Wish:
    """Everything filled in or found so far."""

    private_key: str
    public_key: str
    repository_url: str = ""
    access: str = "public"
    token: str = ""
    default_branch: str = ""
    branches: tuple[str, ...] = ()
    commit: dict[str, Any] | None = None
    detected: dict[str, Any] | None = None
    detected_error: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def read(cls, text: str) -> Wish:
        stored = orjson.loads(text)
        return cls(**{**stored, "branches": tuple(stored["branches"])})

    def repository(self, *, allow_local: bool) -> Repository:
        if self.access == "key":
            credentials = Credentials(ssh_key=self.private_key)
        elif self.access == "token":
            credentials = Credentials(token=self.token)
        else:
            credentials = Credentials()
        return Repository(self.repository_url, credentials, allow_local)

    def project(self) -> ProjectIn:
        """The project this describes. A field left as detected stays empty, so that it is detected again each time."""
        found = self.detected or {}
        names = ("install_command", "build_command", "start_command", "output_directory", "port")
        chosen = {name: self.values.get(name) for name in names}
        kept = {name: value for name, value in chosen.items() if value and value != found.get(name)}
        return ProjectIn.model_validate(
            {
                **kept,
                "repository_url": self.repository_url,
                "access": self.access,
                "token": self.token,
                "private_key": self.private_key if self.access == "key" else "",
                "name": self.values["name"],
                "slug": self.values["name"],
                "branch": self.values["branch"],
                "root_directory": self.values.get("root_directory") or "",
                "framework": "" if found else self.values.get("framework") or "",
                "health_path": self.values.get("health_path") or "/",
                "size": self.values.get("size") or "",
                "environment_variables": self.values.get("env") or "",
            }
        )


def key_pair(comment: str) -> tuple[str, str]:
    """A new deploy key (private, public), Ed25519 in OpenSSH's form."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return private, f"{public} {comment}"
