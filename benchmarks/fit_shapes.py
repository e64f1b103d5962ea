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

import numpy as np
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
    """Prints by candidate how alike two targets order the shapes, and how often another candidate is the cheapest."""
    for candidate in dict.fromkeys(each.candidate for each in record.predictions):
        found = [[_cost(each, name, candidate) for name in (one, other)] for each in record.shapes]
        both = [each for each in found if None not in each]
        alike = spearmanr(*np.array(both, np.float64).T).statistic
        print(f"{candidate}: rank correlation of {one} and {other} over {len(both)} shapes {alike:.3f}")
    best = [(each.macs, each.best(one), each.best(other)) for each in record.shapes]
    pairs = [(macs, here, there) for macs, here, there in best if here is not None and there is not None]
    changed = sum(here.candidate != there.candidate for _, here, there in pairs)
    print(f"another candidate is the cheapest there: {changed} of {len(pairs)} shapes")
    table = np.array([[macs, here.cost, there.cost] for macs, here, there in pairs], np.float64).T
    print(f"rank correlation of the cheapest files' costs: {spearmanr(table[1], table[2]).statistic:.3f}")
    for name, costs in ((one, table[1]), (other, table[2])):
        print(f"rank correlation of multiply-adds and the cost on {name}: {spearmanr(table[0], costs).statistic:.3f}")


def _cost(each: Priced, target: str, candidate: str) -> float | None:
    file = each.file(target, candidate)
    return None if file is None else file.cost


if __name__ == "__main__":
    main()
