"""A Docker engine of one's own on a disk of a few megabytes, started as `make demo` starts one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import docker
from docker.errors import DockerException

from scripts.bootstrap import WHOLE_BUILD_LOGS
from tests.journeys.platform import wait_for
from tests.ports.engine_fixtures import busybox_binary, busybox_rootfs

BASE = "devflow-test/busybox:small"


@contextmanager
def disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of that size, in memory. Needs root, as the engine does."""
    folder.mkdir(parents=True)
    subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)), check=True)
    try:
        yield folder
    finally:
        subprocess.run(("umount", "--lazy", str(folder)), check=True)


@contextmanager
def small_engine(folder: Path, megabytes: int) -> Iterator[str]:
    """The address of an engine that has the image `BASE` and no way out.

    It lives in a network namespace of its own: in the host's it would take away the bridge of the engine there.
    """
    host = f"unix://{folder / 'engine.sock'}"
    with disk(folder / "disk", megabytes) as data, (folder / "engine.log").open("wb") as output:
        engine = subprocess.Popen(
            (
                "unshare", "--net", "dockerd", "--host", host, "--data-root", str(data / "data"),
                "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid"),
                "--iptables=false", "--cgroup-parent", folder.name,
            ),
            env=os.environ | WHOLE_BUILD_LOGS, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            wait_for(lambda: engine.poll() is not None or _answers(host), 60, "the start of the small engine")
            assert engine.poll() is None, (folder / "engine.log").read_text()[-2000:]
            _import_base(host, folder)
            yield host
        finally:
            engine.terminate()
            engine.wait(30)


def _answers(host: str) -> bool:
    try:
        with closing(docker.DockerClient(base_url=host)) as client:
            return bool(client.ping())
    except DockerException:
        return False


def _import_base(host: str, folder: Path) -> None:
    name, _, tag = BASE.partition(":")
    data = busybox_rootfs(busybox_binary(folder))
    with closing(docker.APIClient(base_url=host, version="auto")) as api:
        api.import_image(src=data, repository=name, tag=tag, changes=["ENV PATH=/bin", 'CMD ["sh"]'])
