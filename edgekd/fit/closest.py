"""What to say when no shape is within the budget: which comes closest, and what it would need."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgekd.config.fit import Budget
from edgekd.config.inline import inline
from edgekd.errors import ConfigError
from edgekd.records.pricing import Priced, PricedFile
from edgekd.report.text import duration

WHERE = "fit.budget"


@dataclass(frozen=True)
class _Excess:
    """A figure of a shape that is over the budget; factor: how many times; key: below `fit.budget`, with a value that
    would do."""

    factor: float
    what: str
    key: str
    enough: float | int


def nothing_within(shapes: Sequence[Priced], budget: Budget) -> ConfigError:
    """The error that no shape is within the budget, with the one that misses it by the smallest factor."""
    if not shapes:
        return ConfigError("no shape could be measured", where="fit.space", hint="give fit.space other options")
    closest = min(shapes, key=lambda each: _missed_by(each, budget))
    missed = list(_excesses(closest, budget))
    if not missed:
        return ConfigError(f"none of {len(shapes)} shapes is within it: {closest.unfit}", where=WHERE)
    enough: dict[str, float | int] = {}
    for each in missed:
        enough[each.key] = max(each.enough, enough.get(each.key, 0))
    would = ", ".join(f"{key} {value:,}" for key, value in enough.items())
    return ConfigError(
        f"none of {len(shapes)} shapes is within it; the closest, {inline(closest.shape)}, has "
        + ", ".join(dict.fromkeys(each.what for each in missed)),
        where=WHERE,
        hint=f"{would} would do, or give fit.space smaller shapes",
    )


def _factor(missed: Sequence[_Excess]) -> float:
    return max((each.factor for each in missed), default=0.0)


def _missed_by(shape: Priced, budget: Budget) -> float:
    """The factor by which it misses the budget; infinite where no file of it runs on a target."""
    runs = all(not files or any(map(_known, files)) for files in shape.files.values())
    return _factor(list(_excesses(shape, budget))) if runs else math.inf


def _known(file: PricedFile) -> bool:
    """Whether it could be made, and runs: what does not has no cost, and is unfit whatever the budget."""
    return not file.unfit or file.cost is not None


def _excesses(shape: Priced, budget: Budget) -> Iterator[_Excess]:
    """What of a shape is over, on each target by the file that misses least."""
    if budget.parameters is not None and shape.parameters > budget.parameters:
        factor = shape.parameters / budget.parameters
        yield _Excess(factor, f"{shape.parameters:,} parameters", "parameters", shape.parameters)
    for target, files in shape.files.items():
        each_file = [list(_of_file(target, file, budget)) for file in files if _known(file)]
        yield from min(each_file, key=_factor, default=[])


def _of_file(target: str, file: PricedFile, budget: Budget) -> Iterator[_Excess]:
    costs = budget.on(target)

    def key(name: str) -> str:
        return ".".join(budget.place(target, name))

    if costs.p50_ms is not None and file.p50_s is not None and file.p50_s * 1e3 > costs.p50_ms:
        enough = _rounded_up(1e3 * (file.interval_s[1] if file.interval_s else file.p50_s))
        what = f"{duration(file.p50_s)} on {target}"
        yield _Excess(file.p50_s * 1e3 / costs.p50_ms, what, key("p50_ms"), enough)
    if costs.instructions is not None and file.instructions is not None and file.instructions > costs.instructions:
        what = f"{file.instructions:,} instructions on {target}"
        yield _Excess(file.instructions / costs.instructions, what, key("instructions"), file.instructions)
    if costs.model_bytes is not None and file.size_bytes > costs.model_bytes:
        what = f"{file.size_bytes:,} bytes as {file.candidate}"
        yield _Excess(file.size_bytes / costs.model_bytes, what, key("model_bytes"), file.size_bytes)


def _rounded_up(number: float) -> float:
    """To three digits."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 2)
    return float(f"{math.ceil(number / unit) * unit:.3g}")
