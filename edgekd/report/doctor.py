"""A machine's fitness for measuring, on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from edgekd.records.doctor import Health


def print_health(health: Health, target: str, console: Console) -> None:
    """Prints what the machine is, what was seen on it, and each finding with its remedy."""
    environment, gaps = health.environment, health.gaps
    machine = environment.machine
    facts = Table(box=None, show_header=False, pad_edge=False, title=f"target {target}", title_justify="left")
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    clock = environment.frequency_hz
    rows = {
        "processor": f"{machine.cpu} ({machine.machine}), {machine.cores} cores, {len(machine.affinity)} usable",
        "instructions": " ".join(machine.isa) or "none that matter",
        "memory": f"{machine.memory_bytes / 1e9:.1f} GB",
        "system": f"{machine.system}{', virtual' if machine.virtual else ''}",
        "clock": f"{clock[1] / 1e9:.2f} GHz" if clock else "unknown",
        "governor": machine.governor or "not to be seen",
        "runtime": f"onnxruntime {machine.onnxruntime}, numpy {machine.numpy}, Python {machine.python}",
        "providers": ", ".join(machine.providers),
        "other load": f"{environment.busy_elsewhere:.0%} of the processor time, {environment.steal:.1%} stolen",
        "interruptions": f"{gaps.per_second:.0f} a second, {gaps.longest_s * 1e3:.2f} ms at the longest, "
        f"{gaps.lost:.2%} of the time",
    }
    for name, value in rows.items():
        facts.add_row(name, value)
    console.print(facts)
    console.print()
    for finding in health.findings:
        _line(console, f"! {finding.name}: {finding.what}", "yellow")
        if finding.remedy:
            _line(console, f"  {finding.remedy}", "dim")
    if not health.findings:
        console.print("nothing found that disturbs a measurement", style="green")


def _line(console: Console, text: str, style: str) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
