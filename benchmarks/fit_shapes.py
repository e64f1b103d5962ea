"""What `edgekd fit` finds out before anything is trained: how long it takes, how well its cost model foretells, and
whether the order of shapes is another one on another target.

    python benchmarks/fit_shapes.py pipelines/mnist.yaml                      # 300 shapes on the pipeline's targets
    python benchmarks/fit_shapes.py pipelines/mnist.yaml --shapes 40 --target targets/local.yaml \\
        --target targets/arm64-qemu.yaml                                      # and the rank correlation between both

A budget that everything is within keeps the search from leaving anything out: what is timed is measuring, not choosing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

from scipy.stats import spearmanr

from edgekd.config.pipeline import load_pipeline
from edgekd.fit.pricing import price
from edgekd.progress import Silent
from edgekd.records.pricing import Priced, PricingRecord


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("--shapes", type=int, default=300)
    parser.add_argument("--space", default="auto", help="as `fit.space`, in JSON or a name")
    parser.add_argument("--parameters", type=int, default=100_000, help="no shape has more")
    parser.add_argument("--target", type=Path, action="append", help="instead of the pipeline's; may be repeated")
    parser.add_argument("--json", type=Path, help="writes the whole record there")
    asked = parser.parse_args()
    targets = [str(each.resolve()) for each in asked.target or ()]
    fit = {"budget": {"parameters": asked.parameters}, "shapes": asked.shapes, "space": _space(asked.space)}
    assignments = [f"fit={json.dumps(fit)}", *([f"targets={json.dumps(targets)}"] if targets else [])]
    pipeline = load_pipeline(asked.pipeline, assignments=assignments)
    record = price(pipeline, Silent(), deadline=time.monotonic() + 3600)
    if asked.json:
        asked.json.write_text(record.model_dump_json(indent=1))
    print(f"{len(record.shapes)} shapes, {record.seconds:.0f} s")
    for each in record.predictions:
        if each.median is not None and each.p90 is not None:
            print(
                f"{each.target} {each.candidate}: {each.measured} shapes foretold with an error of "
                f"{each.median:.1%} in the median, {each.p90:.1%} in nine of ten"
            )
    for one, other in itertools.combinations([each.name for each in pipeline.targets], 2):
        compare(record, one, other)


def _space(text: str) -> object:
    return json.loads(text) if text[:1] in "[{" else text


def compare(record: PricingRecord, one: str, other: str) -> None:
    """Prints by candidate how alike two targets order the shapes, and where they differ most."""
    for candidate in dict.fromkeys(each.candidate for each in record.predictions):
        both = [
            each for each in record.shapes if None not in (_cost(each, one, candidate), _cost(each, other, candidate))
        ]
        here, there = ([_cost(each, name, candidate) for each in both] for name in (one, other))
        print(f"{candidate}: rank correlation of {one} and {other} over {len(both)} shapes {_alike(here, there):.3f}")
    both = [each for each in record.shapes if each.best(one) and each.best(other)]
    changed = sum(each.best(one).candidate != each.best(other).candidate for each in both)  # type: ignore[union-attr]
    print(f"another candidate is the cheapest there: {changed} of {len(both)} shapes")
    macs = [each.macs for each in both]
    for name in (one, other):
        costs = [each.best(name).cost for each in both]  # type: ignore[union-attr]
        print(f"rank correlation of multiply-adds and the cost on {name}: {_alike(macs, costs):.3f}")


def _cost(each: Priced, target: str, candidate: str) -> float | None:
    file = each.file(target, candidate)
    return None if file is None else file.cost


def _alike(one: object, other: object) -> float:
    return float(spearmanr(one, other).statistic)


if __name__ == "__main__":
    main()
