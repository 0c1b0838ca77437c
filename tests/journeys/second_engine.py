"""A Docker engine of one's own that can be stopped and started: the machine's engine belongs to everybody."""

from __future__ import annotations

import secrets
import subprocess
from contextlib import closing
from pathlib import Path

import docker
from docker.errors import DockerException

from tests.journeys.platform import wait_for


class SecondEngine:
    """Lives beside the first one, with a bridge of its own: without one it would take the first one's away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"unix://{folder / 'engine.sock'}"
        self.bridge = f"dvf{secrets.token_hex(4)}"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("addr", "add", f"10.214.{secrets.randbelow(250)}.1/24", "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")

    def start(self) -> None:
        """Start it and wait until it answers."""
        words = [
            "dockerd", "--host", self.host, "--data-root", str(self.folder / "data"),
            "--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "pid"),
            "--bridge", self.bridge, "--iptables=false", "--ip-forward=false", "--ip-masq=false",
            "--cgroup-parent", self.bridge,
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(words, stdout=output, stderr=output)
        wait_for(self._answers, 60, "the start of the second engine")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            with closing(docker.DockerClient(base_url=self.host)) as client:
                return bool(client.ping())
        except DockerException:
            return False

    def stop(self) -> None:
        """Stop it as the system would: its containers are stopped first."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def copy(self, image: str) -> None:
        """Bring an image over from the machine's engine."""
        source, target = docker.from_env(), docker.DockerClient(base_url=self.host)
        with closing(source), closing(target):
            target.images.load(b"".join(source.images.get(image).save(named=True)))

    def remove(self) -> None:
        """Everything it had."""
        self.start() if self._process is None else None
        with closing(docker.DockerClient(base_url=self.host)) as client:
            for container in client.containers.list(all=True):
                container.remove(force=True)
            client.networks.prune()
        self.stop()
        _ip("link", "del", self.bridge)
        for group in Path("/sys/fs/cgroup").glob(f"**/{self.bridge}"):
            for folder in sorted((group, *(path for path in group.rglob("*") if path.is_dir())), reverse=True):
                folder.rmdir()


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True)
