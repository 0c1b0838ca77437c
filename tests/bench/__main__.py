"""`make bench`: every measurement, each with its table once it is made. Some: `python -m tests.bench memory list`."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    bench_audit,
    bench_auth,
    bench_deploy,
    bench_list,
    bench_logs,
    bench_memory,
    bench_open_log,
    bench_switch,
)
from tests.bench.table import Figure, shown
from tests.hearing import hear_signals

BENCHES: dict[str, Callable[[Path], list[Figure]]] = {
    "memory": bench_memory.run,
    "deploy": bench_deploy.run,
    "switch": bench_switch.run,
    "logs": bench_logs.figures,
    "open_log": bench_open_log.run,
    "list": bench_list.run,
    "audit": bench_audit.run,
    "auth": bench_auth.run,
}


def main(names: list[str]) -> None:
    if unknown := set(names) - set(BENCHES):
        sys.exit(f"There is no {', '.join(sorted(unknown))}. There are: {', '.join(BENCHES)}.")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}", flush=True)
    figures: list[Figure] = []
    for name in names or BENCHES:
        folder = Path(tempfile.mkdtemp(prefix="devflow-bench-"))
        began = time.monotonic()
        try:
            found = BENCHES[name](folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(f"{name} took {time.monotonic() - began:.0f} s\n\n{shown(found)}\n", flush=True)
        figures += found
    missed = [figure.what for figure in figures if figure.met is False]
    print(f"Missed aims: {'; '.join(missed)}." if missed else "Every aim is met.")


if __name__ == "__main__":
    hear_signals()
    main(sys.argv[1:])
