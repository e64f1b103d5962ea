"""What trials reached, as rows that are compared. Pure but for reading the records of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekd.config.networks import STUDENT
from edgekd.harness.scoring import gain_over_seeds
from edgekd.pipeline.store import Store
from edgekd.records.evaluation import Evaluation
from edgekd.records.network import NetworkRecord
from edgekd.records.screening import ChoiceRecord, ScreeningRecord
from edgekd.records.seeds import Gain
from edgekd.records.stage import StageRecord
from edgekd.records.sweep import SweepRow, SweepTrial, TrialShipped

LEVEL = 0.05


def trial_record(
    seed: int, results: Mapping[str, StageRecord], own: Sequence[str], targets: Sequence[str], store: Store, failed: str
) -> SweepTrial:
    """results: by node, as far as the trial came; own: the nodes that it shares with no other trial."""

    def content(node: str, port: str) -> bytes:
        return store.path(results[node].outputs[port]).read_bytes()

    seconds = sum(results[node].seconds for node in own if node in results)
    shipped = {}
    for target in targets:
        if f"choose@{target}" in results:
            choice = ChoiceRecord.model_validate_json(content(f"choose@{target}", "choice"))
            screening = ScreeningRecord.model_validate_json(content(f"screen@{target}", "screening"))
            screened = screening.candidate(choice.chosen)
            test = None
            if f"validate@{target}" in results:
                evaluation = Evaluation.model_validate_json(content(f"validate@{target}", "evaluation"))
                test = evaluation.models[choice.chosen].accuracy.value
            shipped[target] = TrialShipped(
                candidate=choice.chosen,
                size_bytes=screened.size_bytes,
                validation_accuracy=screened.accuracy,
                test_accuracy=test,
            )
    if f"train@{STUDENT}" not in results:
        return SweepTrial(seed=seed, seconds=seconds, failed=failed)
    network = NetworkRecord.model_validate_json(content(f"train@{STUDENT}", "training"))
    return SweepTrial(
        seed=seed,
        validation_correct=network.validation_correct,
        validation_total=network.validation_total,
        parameters=network.parameters,
        seconds=seconds,
        shipped=shipped,
        failed=failed,
    )


def compared(rows: Sequence[SweepRow], targets: Sequence[str]) -> tuple[SweepRow, ...]:
    """The rows, each held against the first one."""
    baseline = rows[0]
    step = 1 / max((each.validation_total for row in rows for each in row.trials if each.validation_total), default=1)
    gains = [_gain(row.accuracies, baseline.accuracies, step) for row in rows[1:]]
    real = iter(holm([gain.p_value for gain in gains if gain is not None]))
    found = [baseline]
    for row, gain in zip(rows[1:], gains, strict=True):
        shipped = {
            target: each
            for target in targets
            if (each := _gain(_shipped(row, target), _shipped(baseline, target), step)) is not None
        }
        noiseless = gain is not None and next(real)
        found.append(row.model_copy(update={"gain": gain, "beyond_noise": noiseless, "shipped_gain": shipped}))
    return tuple(found)


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which of several hypotheses are rejected so that all rejections are right with probability 1 - level.

    Source: Holm 1979, Scandinavian Journal of Statistics 6(2): in the order of their p-values, the k-th of n (from 0)
    as long as p <= level / (n - k).
    """
    rejected = [False] * len(p_values)
    for place, position in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[position] > level / (len(p_values) - place):
            break
        rejected[position] = True
    return rejected


def _gain(reached: Mapping[int, float], before: Mapping[int, float], step: float) -> Gain | None:
    """By seed; None where fewer than two seeds have both."""
    both = [seed for seed in reached if seed in before]
    if len(both) < 2:
        return None
    return gain_over_seeds([reached[seed] for seed in both], [before[seed] for seed in both], step=step)


def _shipped(row: SweepRow, target: str) -> dict[int, float]:
    """Validation accuracy of what ships, by seed."""
    return {
        each.seed: accuracy
        for each in row.trials
        if target in each.shipped and (accuracy := each.shipped[target].validation_accuracy) is not None
    }
