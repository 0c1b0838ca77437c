"""The second half of `scripts/bootstrap`: dependencies, a Docker engine, what tests need. Standard library only."""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOG = ROOT / "var" / "bootstrap.log"
DAEMON_LOG = ROOT / "var" / "log" / "dockerd.log"
ENGINE_PATIENCE = 60.0
"""Seconds a freshly started engine may take to answer."""
WHOLE_BUILD_LOGS = {"BUILDKIT_STEP_LOG_MAX_SIZE": "2147483647", "BUILDKIT_STEP_LOG_MAX_SPEED": "2147483647"}
"""BuildKit would cut what a build step prints at 1 MiB and 100 KiB/s. -1 means no limit to newer ones alone: that of
Docker 20.10 then drops every line."""
ENGINE_PACKAGES = {"docker.io": "dockerd", "iptables": "iptables"}
"""Package to what shows that it is there: a command, a file, or a folder."""
IMAGE_PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
}
"""What base images are built with where no registry answers; a server that has one does without."""
TEST_PACKAGES = {
    "git": "git",
    "postgresql": "/usr/lib/postgresql",
    "redis-server": "redis-server",
    "chromium": "chromium",
    "busybox-static": "/bin/busybox",
    "mmdebstrap": "mmdebstrap",
    "openssh-server": "/usr/sbin/sshd",
    "openssh-client": "ssh-keygen",
    "docker-registry": "docker-registry",
    "pebble": "pebble",
    "fonts-liberation": "/usr/share/fonts/truetype/liberation",
}


class Missing(Exception):
    """Something that cannot be put right from here; the text is the one sentence a person reads."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bootstrap", description="Make this machine ready for DevFlow.")
    parser.add_argument("--engine", action="store_true", help="also a Docker engine, installed if need be")
    parser.add_argument("--dev", action="store_true", help="also linters and test libraries")
    parser.add_argument("--test", action="store_true", help="also everything the tests need")
    options = parser.parse_args(arguments)
    try:
        step("Python environment", lambda: dependencies(options.dev or options.test))
        if options.test:
            step("Tools for the tests", lambda: packages(TEST_PACKAGES))
        if options.engine or options.test:
            step("Docker engine", engine)
            step("Tools for base images", image_tools)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0


def step(name: str, work: Callable[[], bool]) -> None:
    """Do it; say so, with the seconds, only if there was something to do."""
    started = time.monotonic()
    if work():
        print(f"==> {name} ({time.monotonic() - started:.1f} s)", flush=True)


def dependencies(dev: bool) -> bool:
    """Install what the lock says; nothing when the environment was made from this very lock."""
    stamp = VENV / "devflow.lock"
    wanted = {name: digest(ROOT / name) for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml")}
    dev = dev or "dev" in _read(stamp).splitlines()  # once there, they stay
    text = "\n".join([f"{name} {value}" for name, value in wanted.items()] + ["dev"] * dev)
    if _read(stamp) == text:
        return False
    print("==> Installing Python packages …", flush=True)
    stamp.unlink(missing_ok=True)
    lock = "requirements-dev.lock" if dev else "requirements.lock"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "-r", str(ROOT / lock)], "The Python packages could not be installed")
    run([*pip, "--no-build-isolation", "--no-deps", "-e", str(ROOT)], "DevFlow itself could not be installed")
    stamp.write_text(text, encoding="ascii")
    return True


def packages(wanted: dict[str, str]) -> bool:
    """Install the Debian packages whose proof is not on this machine."""
    missing = [name for name, proof in wanted.items() if not present(proof)]
    if not missing:
        return False
    if not shutil.which("apt-get"):
        raise Missing(f"These are missing: {', '.join(missing)}. Install them; DevFlow can do so on Debian and Ubuntu.")
    if os.geteuid():
        raise Missing(f"Some packages are missing. Install them: sudo apt-get install {' '.join(missing)}")
    print(f"==> Installing {', '.join(missing)} …", flush=True)
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *missing]
    try:
        run(install, "")
    except Missing:
        run(["apt-get", "update", "-qq"], "The package lists could not be fetched")
        run(install, f"{', '.join(missing)} could not be installed")
    return True


def present(proof: str) -> bool:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return Path(proof).exists() if proof.startswith("/") else shutil.which(proof, path=path) is not None


def engine() -> bool:
    """A Docker engine that answers: the one there is, else one of our own (root on Debian or Ubuntu)."""
    address = engine_address()
    problem = ping(address)
    if not problem:
        return False
    if address != "unix:///var/run/docker.sock":
        raise Missing(
            f"The Docker engine at {address} (DOCKER_HOST) does not answer: {problem}. Start it, or unset it."
        )
    if "Permission denied" in problem:
        raise Missing(
            "The Docker engine runs, but you may not use it. "
            f"Run: sudo usermod -aG docker {os.environ.get('USER', '$USER')} - then sign in again."
        )
    if os.geteuid():
        raise Missing(
            "No Docker engine answers at /var/run/docker.sock. Install one (sudo apt-get install docker.io), "
            "start it (sudo systemctl start docker), or run this as root."
        )
    if not present("dockerd"):
        packages(ENGINE_PACKAGES)
    print("==> Starting the Docker engine …", flush=True)
    start_engine()
    return True


def image_tools() -> bool:
    """Only where we may install them: they are needed when no registry answers, and then DevFlow names them."""
    return not os.geteuid() and shutil.which("apt-get") is not None and packages(IMAGE_PACKAGES)


def start_engine() -> None:
    process = None
    if Path("/run/systemd/system").is_dir():
        run(["systemctl", "enable", "--now", "docker"], "The Docker service could not be started")
    elif ping(engine_address()):  # installing the package may have started it
        DAEMON_LOG.parent.mkdir(parents=True, exist_ok=True)
        with DAEMON_LOG.open("ab") as log:
            process = subprocess.Popen(
                ["dockerd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env=os.environ | WHOLE_BUILD_LOGS,
            )
    deadline = time.monotonic() + ENGINE_PATIENCE
    while problem := ping(engine_address()):
        died = process is not None and process.poll() is not None
        if died or time.monotonic() > deadline:
            last = _read(DAEMON_LOG).strip().splitlines()[-1:] if process else [problem]
            raise Missing(f"The Docker engine did not start: {' '.join(last)} (its log: {DAEMON_LOG})")
        time.sleep(0.1)


def engine_address() -> str:
    """DOCKER_HOST of the environment or of `.env`, as DevFlow itself will read it."""
    lines = [line.partition("=") for line in _read(ROOT / ".env").splitlines() if not line.lstrip().startswith("#")]
    kept = {name.strip().upper(): value.strip().strip("'\"") for name, _, value in lines}
    return os.environ.get("DOCKER_HOST") or kept.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def ping(address: str) -> str:
    """Why the engine does not answer; empty when it does. An ssh:// engine is left to DevFlow to reach."""
    parts = urlsplit(address)
    if parts.scheme == "ssh":
        return ""
    connection = http.client.HTTPConnection(parts.hostname or "localhost", parts.port or 2375, timeout=5)
    try:
        if parts.scheme == "unix":
            connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.sock.settimeout(5)
            connection.sock.connect(parts.path)
        connection.request("GET", "/_ping", headers={"Host": "docker"})
        status = connection.getresponse().status
        return "" if status in (200, 400) else f"it answers {status}"  # 400: it wants TLS, so it is there
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    finally:
        connection.close()


def run(command: Sequence[str], failure: str) -> None:
    """Run quietly; on failure raise `Missing` with the last thing it said. Everything is kept in the log."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n{done.stdout}\n")
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if line.strip()]
        errors = [line for line in said if line.lower().startswith(("e:", "error"))] or said
        raise Missing(f"{failure}: {errors[-1] if errors else 'it gave no reason'} (the rest is in {LOG})")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
