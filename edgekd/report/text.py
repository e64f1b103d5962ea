"""Small pieces of text that several reports share."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from edgekd.records.check import Check, Outcome

MARKS = {Outcome.PASS: ("✓", "green"), Outcome.FAIL: ("✗", "red"), Outcome.UNDECIDED: ("?", "yellow")}


def print_line(console: Console, text: str, style: str | None = None) -> None:
    """One line as it is: no markup, no highlighting, not broken."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def print_check(console: Console, check: Check, name: str = "") -> None:
    """What was observed against the limit, and unless it passed, why."""
    mark, colour = MARKS[check.outcome]
    observed = "–" if check.observed is None else f"{check.observed:.4g}"
    if check.interval is not None and check.interval[0] != check.interval[1]:
        observed += f" [{check.interval[0]:.4g}, {check.interval[1]:.4g}]"
    line = Text(f"{mark} ", style=colour)
    line.append(f"{name or check.name:<20} {observed} · limit {check.limit:.4g}", style="default")
    if check.outcome is not Outcome.PASS:
        line.append(f" · {check.why}", style=colour)
    console.print(line, soft_wrap=True)


def print_verdict(console: Console, verdict: Outcome) -> None:
    mark, colour = MARKS[verdict]
    console.print(Text(f"\nverdict: {verdict.value} {mark}", style=f"bold {colour}"))


def duration(seconds: float) -> str:
    """A time to three digits, in the unit in which they say most."""
    factor, unit = time_unit(seconds)
    return f"{three_digits(seconds * factor)} {unit}"


def time_unit(seconds: float) -> tuple[float, str]:
    """What to multiply seconds by, and the name of the unit."""
    return next(((factor, unit) for factor, unit in ((1e6, "µs"), (1e3, "ms")) if seconds * factor < 999.5), (1.0, "s"))


def ratio(value: float) -> str:
    """As many digits as leave room for three columns with intervals: 9.56, 148.3, 1,204."""
    return f"{value:.2f}" if value < 99.995 else f"{value:.1f}" if value < 999.95 else f"{value:,.0f}"


def three_digits(number: float) -> str:
    """Three significant digits, and every digit before the point."""
    return f"{number:,.0f}" if number >= 99.95 else f"{number:#.3g}"
