"""What `edgekd quantize` prints and writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console

from edgekd.records.check import Outcome
from edgekd.records.quantized import QuantizedRecord
from edgekd.records.screening import FP32, Screened, ScreeningRecord
from edgekd.report.candidates import print_candidates
from edgekd.report.text import MARKS, print_line

SCHEMA = 1


def quantized_json(record: QuantizedRecord) -> str:
    """The documented JSON of a quantized model (docs/quantization.md)."""
    made = {each.name: each for each in record.candidates}
    whole = {
        "schema": SCHEMA,
        **record.model_dump(mode="json", include={"edgekd", "model", "facts", "output", "classes", "notes", "seed"}),
        "samples": {"calibration": record.calibration, "validation": record.validation},
        "judged_by": record.judged_by,
        "objective": record.objective,
        "max_drop": record.max_drop,
        "targets": {name: _target(record, name) for name in record.choices},
        "candidates": {name: each.model_dump(mode="json") for name, each in made.items()},
        "repairs": {name: each.model_dump(mode="json") for name, each in record.repairs.items()},
    }
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)


def print_quantized(record: QuantizedRecord, folder: Path, console: Console) -> None:
    """Prints, of each target, the candidates, and what ships with how to load it."""
    made = {each.name: each.file for each in record.candidates if each.file is not None}
    for name, choice in record.choices.items():
        print_candidates(record.screenings[name], choice, made, console)
        for each, repair in record.repairs.items():
            if repair.told:
                print_line(console, f"{each}: {repair.told}", "dim")
        mark, colour = MARKS[record.outcome(name)]
        console.print()
        for line in _told(record, name, folder, mark):
            print_line(console, line, colour)
        for key, value in choice.session.items() if not choice.unfit else ():
            print_line(console, f'  options.add_session_config_entry("{key}", "{value}")')


def _told(record: QuantizedRecord, target: str, folder: Path, mark: str) -> Iterator[str]:
    choice = record.choices[target]
    if choice.unfit:
        yield f"{mark} {target}: {choice.unfit}"
        return
    yield f"{mark} {target}: {folder / record.files[choice.chosen]}"
    if record.outcome(target) is Outcome.UNDECIDED:
        kept = record.screenings[target].candidate(choice.chosen).samples
        what = "accuracy" if record.judged_by == "labels" else "agreement"
        yield (
            f"  undecided: on {kept:,} samples it may lose up to {100 * record.most_lost(target):.2f} points of {what} "
            f"as well (at most {100 * record.max_drop:.2f}); more samples would tell"
        )
    if choice.session:
        yield "  load it with these options of onnxruntime.SessionOptions():"


def _target(record: QuantizedRecord, target: str) -> dict[str, JsonValue]:
    screening, choice = record.screenings[target], record.choices[target]
    verdicts = {each.name: each for each in choice.candidates}
    return {
        "outcome": record.outcome(target).value,
        "chosen": None if choice.unfit else choice.chosen,
        "file": None if choice.unfit else record.files[choice.chosen],
        "session": dict(choice.session),
        "unfit": choice.unfit,
        "cost": screening.cost,
        "confidence": screening.confidence,
        "candidates": [
            {
                **_row(each, screening),
                "ships": verdicts[each.name].ships,
                "why": verdicts[each.name].why,
            }
            for each in screening.candidates
        ],
    }


def _row(each: Screened, screening: ScreeningRecord) -> dict[str, JsonValue]:
    pair, times = each.against_fp32, screening.comparison(each.name, FP32)
    judged = "accuracy" if screening.judged_by == "labels" else "agreement"
    reference = screening.candidate(FP32).instructions
    return {
        "name": each.name,
        "bytes": each.size_bytes,
        "samples": each.samples,
        judged: each.accuracy,
        f"{judged}_interval": _listed(each.accuracy_interval),
        "drop": pair.drop if pair else None,
        "drop_interval": _listed(pair.drop_interval if pair else None),
        "p50_s": each.p50_s,
        "time_ratio": times.ratio if times else None,
        "time_ratio_interval": _listed(times.interval if times else None),
        "instructions_ratio": each.instructions / reference if each.instructions and reference else None,
        "cold_start_s": each.cold_start_s,
        "session": dict(each.session),
    }


def _listed(interval: tuple[float, float] | None) -> list[JsonValue] | None:
    return None if interval is None else list(interval)
