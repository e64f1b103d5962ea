"""How sure accuracy is, and what distillation gained, over several seeds, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from edgekd.config.networks import CONTROL
from edgekd.records.seeds import Gain, SeedsRecord

JUDGED = {"better": "", "worse": ": the untaught student is better", None: ": nothing that so many seeds can show"}


def over_seeds(record: SeedsRecord) -> Iterator[str]:
    """A line for the accuracies of all files, and one for each of which it is known what distillation gained."""
    count = len(record.seeds)
    accuracies = ", ".join(
        f"{name} {100 * record.mean(name):.2f} ± {100 * record.std(name):.2f} %"
        for name in record.accuracies
        if not name.startswith(f"{CONTROL}.")
    )
    yield f"accuracy over {count} seeds (mean ± standard deviation): {accuracies}"
    for name, gain in record.gains.items():
        yield f"over {count} seeds distillation gained {_gain(gain)} in {name}{JUDGED[gain.verdict]}"


def _gain(gain: Gain) -> str:
    low, high = gain.interval
    return (
        f"{100 * gain.mean:+z.2f} ± {100 * gain.std:.2f} points of accuracy [{100 * low:+z.2f}, {100 * high:+z.2f}] "
        f"(p {gain.p_value:.2g})"
    )
