"""What a measurement has to say, and how all of them are shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import quantiles


@dataclass(frozen=True)
class Figure:
    """One measured thing beside the raw way to do the same in the same run. `aim` is for `ours`, or for the ratio."""

    what: str
    ours: float
    unit: str
    raw: float | None = None
    aim: float | None = None
    reference: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.raw if self.raw else None

    @property
    def met(self) -> bool | None:
        """Every aim here is an upper bound."""
        return None if self.aim is None else self.ours <= self.aim


def percentile(values: Iterable[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[0] if len(ordered) == 1 else quantiles(ordered, n=100, method="inclusive")[percent - 1]


def shown(figures: Iterable[Figure]) -> str:
    """A Markdown table."""
    lines = ["| what | ours | raw | ratio | aim | met | raw reference |", "|---|---:|---:|---:|---:|---|---|"]
    for one in figures:
        met = {None: "", True: "yes", False: "no"}[one.met]
        cells = [
            one.what, f"{number(one.ours)} {one.unit}", _or_nothing(one.raw), _or_nothing(one.ratio, "×"),
            _or_nothing(one.aim, prefix="≤ "), met, one.reference,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def number(value: float) -> str:
    """Three figures are enough."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _or_nothing(value: float | None, suffix: str = "", prefix: str = "") -> str:
    return "" if value is None else f"{prefix}{number(value)}{suffix}"
