"""Wait until a new version answers; when it does not, say why."""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass
from functools import partial

from devflow.core.errors import StepFailed
from devflow.features.deployments.pipeline.waiting import unless_cancelled
from devflow.features.deployments.rules.plan import MB, Artifact, Plan, Report
from devflow.ports.engine import Container, Engine

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.1
"""Seconds between two tries: what starts quickly is noticed at once, what starts slowly is not asked all the time."""
INSPECT_EVERY, INSPECT_REFUSED = 0.4, 0.1
"""Seconds between two looks at the container itself, and when nothing answers, which is how a crash begins."""


@dataclass
class Try:
    """What one request to the new version gave."""

    status: int | None = None
    error: str = ""

    @property
    def good(self) -> bool:
        return self.status is not None and self.status < 500


def ask(address: str, port: int, path: str, host: str, timeout: float = 5) -> Try:
    """GET the health path straight from the container."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": host, "User-Agent": "DevFlow-Health/1", "Connection": "close"})
        return Try(connection.getresponse().status)
    except TimeoutError:
        return Try(error="timeout")
    except (OSError, http.client.HTTPException) as error:
        return Try(error=type(error).__name__)
    finally:
        connection.close()


def _try(plan: Plan, artifact: Artifact, address: str | None, patience: float) -> Try:
    return ask(address, artifact.port, plan.health.path, plan.host, patience) if address else Try()


def wait_until_healthy(plan: Plan, artifact: Artifact, container: Container, engine: Engine, report: Report) -> str:
    """The address of the container once its health path answers below 500. Raises StepFailed with the cause."""
    began = time.monotonic()
    deadline, looked = began + plan.health.timeout, began
    address, last = container.address, Try()
    while True:
        # At most as long as is left, so that a hanging app cannot stretch the limit.
        patience = max(0.2, min(5, deadline - time.monotonic()))
        last = unless_cancelled(partial(_try, plan, artifact, address, patience), report.cancelled)
        if address and last.good:
            report.log(
                f"GET {plan.health.path} answered {last.status} after {time.monotonic() - began:.1f} s",
                level="success", step="check",
            )  # fmt: skip
            return address
        if not address or time.monotonic() - looked >= (INSPECT_REFUSED if last.error else INSPECT_EVERY):
            looked = time.monotonic()
            state = engine.container(container.id)
            _mind_crashes(plan, state)
            address = state.address if state else None
        if time.monotonic() >= deadline:
            raise _why_silent(plan, artifact, container, engine, last)
        time.sleep(min(LONGEST_PAUSE, FIRST_PAUSE + (time.monotonic() - began) / 10))


def _mind_crashes(plan: Plan, state: Container | None) -> None:
    if state is None:
        raise StepFailed("The new container is gone.", cause="container_lost", hint="Was it removed by hand? Redeploy.")
    if state.oom_killed:
        memory = (plan.app_limits.memory or 0) // MB
        raise StepFailed(
            f"The app used more than its {memory} MB of memory and was stopped.",
            cause="out_of_memory",
            hint="Choose a larger size in the project's settings, or make the app start fewer workers.",
        )
    if state.state in ("exited", "dead") or state.restarts > 0:
        code = f" (exit code {state.exit_code})" if state.exit_code not in (None, 0) else ""
        again = " again and again" if state.restarts > 1 else ""
        raise StepFailed(
            f"The app stopped{again} right after its start{code}.",
            cause="crash_loop",
            hint="Its last lines are in the log. A missing variable or a wrong start command is the usual reason.",
        )


def _why_silent(plan: Plan, artifact: Artifact, container: Container, engine: Engine, last: Try) -> StepFailed:
    """Name the cause of a version that runs but does not answer well."""
    seconds = f"{plan.health.timeout:g} s"
    if last.status is not None:
        return StepFailed(
            f"GET {plan.health.path} answered {last.status} for {seconds}.",
            cause="unhealthy_status",
            hint="The app's own lines in the log say why. If another path tells its health, set it in the settings.",
        )
    listening = engine.listening(container.id)
    ports = sorted({port for address, port in listening})
    local = [port for address, port in listening if address.startswith(("127.", "::1"))]
    if artifact.port in local:
        return StepFailed(
            f"The app listens on 127.0.0.1:{artifact.port} only, where nobody outside its container can reach it.",
            cause="loopback_only",
            hint="Make it listen on 0.0.0.0.",
        )
    if ports and artifact.port not in ports:
        others = ", ".join(str(port) for port in ports)
        return StepFailed(
            f"The app listens on port {others}, not on {artifact.port}.",
            cause="wrong_port",
            hint=f"Make it listen on $PORT ({artifact.port}), or set the port to {ports[0]} in the project's settings.",
        )
    if last.error == "timeout" or artifact.port in ports:
        return StepFailed(
            f"The app accepts connections but did not answer GET {plan.health.path} within {seconds}.",
            cause="timeout",
            hint="Raise the health timeout if it starts slowly, or point the health path at something quick.",
        )
    return StepFailed(
        f"The app listens on no port at all after {seconds}.",
        cause="not_listening",
        hint=f"Make it listen on 0.0.0.0:{artifact.port}, or check that the start command starts a server.",
    )
