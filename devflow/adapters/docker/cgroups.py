"""Memory and CPU limits of BuildKit's steps.

BuildKit ignores the limits of the API without a word (Docker 20.10 to 26.1). Its steps run in control groups below
`<parent>/buildkit` (cgroupfs) or beside each other as `system.slice:docker:<id>` (systemd), and those obey us.
With cgroupfs one group holds all builds of the engine, so it gets the sum of the limits of the builds under way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devflow.ports.engine import Limits

ROOT = Path("/sys/fs/cgroup")
PERIOD = 100_000
"""Microseconds; the kernel counts CPU time in these."""
NOTE = "Memory and CPU limits cannot be set for this build: {why}. It runs without them."


@dataclass
class BuildLimits:
    """Knows where the steps run; one for each engine in this process."""

    driver: str
    version: str
    local: bool = True
    root: Path = ROOT
    parent: str = "docker"
    _active: list[Limits] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def hold(self, limits: Limits) -> Iterator[Hold]:
        """Limits are in force inside; `note` says why if they cannot be."""
        hold = Hold(self, limits)
        if limits.memory is None and limits.cpus is None:
            yield hold
            return
        with self._lock:
            self._active.append(limits)
            hold.note = self._enter(limits)
        try:
            yield hold
        finally:
            with self._lock:
                self._active.remove(limits)
                if self.driver != "systemd":
                    self._share()

    def _enter(self, limits: Limits) -> str:
        if not self.local:
            return NOTE.format(why="the engine runs on another machine")
        if self.driver == "systemd":
            return ""  # each step's own group is limited when it appears: see `Hold.look`
        return self._share()

    def _share(self) -> str:
        memory = _total([limits.memory for limits in self._active])
        cpus = _total([limits.cpus for limits in self._active])
        return self.write(f"{self.parent}/buildkit", Limits(memory=int(memory) if memory else None, cpus=cpus))

    def write(self, group: str, limits: Limits) -> str:
        """Set the limits of one group; returns why not, or nothing."""
        try:
            if self.version == "2":
                self._unified(self.root / group, limits)
            else:
                self._legacy(group, limits)
        except OSError as error:
            return NOTE.format(why=f"{error.strerror or error} ({error.filename or group})")
        return ""

    def _unified(self, group: Path, limits: Limits) -> None:
        group.mkdir(parents=True, exist_ok=True)
        for above in [
            self.root,
            *reversed([p for p in group.parents if p.is_relative_to(self.root) and p != self.root]),
        ]:
            control = above / "cgroup.subtree_control"
            if not {"memory", "cpu"} <= set(control.read_text(encoding="ascii").split()):
                control.write_text("+memory +cpu", encoding="ascii")
        quota = "max" if limits.cpus is None else str(int(limits.cpus * PERIOD))
        (group / "memory.max").write_text("max" if limits.memory is None else str(limits.memory), encoding="ascii")
        (group / "cpu.max").write_text(f"{quota} {PERIOD}", encoding="ascii")
        swap = group / "memory.swap.max"
        if swap.exists():
            swap.write_text("max" if limits.memory is None else "0", encoding="ascii")

    def _legacy(self, group: str, limits: Limits) -> None:
        memory, cpu = self.root / "memory" / group, self.root / "cpu" / group
        for folder in (memory, cpu):
            folder.mkdir(parents=True, exist_ok=True)
        value = "-1" if limits.memory is None else str(limits.memory)
        swap = memory / "memory.memsw.limit_in_bytes"
        if swap.exists():
            swap.write_text("-1", encoding="ascii")  # it may never be below the other one
        (memory / "memory.limit_in_bytes").write_text(value, encoding="ascii")
        if swap.exists():
            swap.write_text(value, encoding="ascii")
        quota = "-1" if limits.cpus is None else str(int(limits.cpus * PERIOD))
        (cpu / "cpu.cfs_period_us").write_text(str(PERIOD), encoding="ascii")
        (cpu / "cpu.cfs_quota_us").write_text(quota, encoding="ascii")

    def steps(self) -> set[str]:
        """Groups of single steps, where the driver is systemd."""
        root = self.root if self.version == "2" else self.root / "memory"
        return {path.name for path in root.glob("system.slice:docker:*")}


class Hold:
    """One build's claim; `look` belongs into the build's loop."""

    def __init__(self, limits_of: BuildLimits, limits: Limits) -> None:
        self.note = ""
        self._of, self._limits = limits_of, limits
        self._each = limits_of.local and limits_of.driver == "systemd" and limits != Limits()
        self._seen = limits_of.steps() if self._each else set()

    def look(self) -> str:
        """Limit the steps that appeared since; returns why not, once."""
        if not self._each:
            return ""
        for name in self._of.steps() - self._seen:
            self._seen.add(name)
            if why := self._of.write(name, self._limits):
                self._each = False
                return why
        return ""


def _total(values: Sequence[float | None]) -> float | None:
    """Together; unlimited as soon as one is, or when there is none."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
