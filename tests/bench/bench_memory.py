"""Memory of the whole platform after a minute idle.

PSS counts a page that n processes share as an n-th for each. Where other programs of the machine share some too
(another Caddy, another Python), the sum is flattering, so the distinct pages are counted as well (root only): what the
platform would take alone.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import psutil

from tests.bench import bare
from tests.bench.table import Figure
from tests.journeys.platform import Platform

IDLE = 60.0
AIM = 150.0
THREADS = 16
_MB = 1024 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PRESENT, _FRAME = 1 << 63, (1 << 55) - 1


def run(folder: Path) -> list[Figure]:
    platform = Platform(folder / "platform", {"WEB_THREADS": str(THREADS)}).start()
    try:
        bare.idle(IDLE)
        assert platform.process is not None
        ours = _family(platform.process.pid)
        by_part = _by_part(platform, ours)
        whole, alone = sum(map(pss, ours)), distinct(ours)
    finally:
        platform.remove()
    raw, raw_alone = _raw(folder)
    parts = ", ".join(f"{name} {size:.0f}" for name, size in by_part.items())
    figures = [
        Figure("memory after a minute idle, PSS", whole, "MB", raw, AIM,
               f"bare gunicorn + Flask, bare Huey consumer, bare Caddy; ours: {parts}"),
    ]  # fmt: skip
    if alone:
        figures.append(
            Figure("the same, distinct pages", alone, "MB", raw_alone, None, "what it takes if nothing else runs")
        )
    return figures


def _raw(folder: Path) -> tuple[float, float]:
    with ExitStack() as stack:
        server, _ = stack.enter_context(bare.gunicorn(folder / "web", b"{}", THREADS))
        pids = [
            server, stack.enter_context(bare.consumer(folder / "worker")),
            stack.enter_context(bare.caddy(folder / "edge")),
        ]  # fmt: skip
        bare.idle(5)
        family = [process for pid in pids for process in _family(pid)]
        return sum(map(pss, family)), distinct(family)


def _family(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def _by_part(platform: Platform, pids: Iterable[int]) -> dict[str, float]:
    names = {"devflow-web": "web", "devflow-worker": "worker", "caddy": "edge"}
    found = {"web": 0.0, "worker": 0.0, "edge": 0.0, "supervisor": 0.0}
    for pid in pids:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()
        found[names.get(name, "supervisor")] += pss(pid)
    return found


def pss(pid: int) -> float:
    """MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the kernel tells no PSS")


def distinct(pids: Iterable[int]) -> float:
    """MB in page frames that any of these processes has mapped, each counted once; 0 when we may not see frames."""
    frames: set[int] = set()
    for pid in pids:
        frames |= _frames(pid)
    return len(frames) * _PAGE / _MB if len(frames) > 1 else 0.0


def _frames(pid: int) -> set[int]:
    found = set()
    with Path(f"/proc/{pid}/maps").open(encoding="utf-8") as maps, Path(f"/proc/{pid}/pagemap").open("rb") as table:
        for line in maps:
            start, _, end = line.split(maxsplit=1)[0].partition("-")
            if line.rstrip().endswith("[vsyscall]"):
                continue
            first, last = int(start, 16) // _PAGE, int(end, 16) // _PAGE
            table.seek(first * 8)
            for (entry,) in struct.iter_unpack("<Q", table.read((last - first) * 8)):
                if entry & _PRESENT:
                    found.add(entry & _FRAME)
    return found
