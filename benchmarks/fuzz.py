"""Many damaged cases of everything that edgekd reads, by area and outcome: python benchmarks/fuzz.py --cases 1000.

It ends with 1 where there is a finding. Every case works in a folder of its own.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fuzz.areas import AREAS
from tests.fuzz.campaign import run_area


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="of each area")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--area", action="append", choices=[area.name for area in AREAS], help="only these")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="edgekd-fuzz-") as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        for number, area in enumerate(AREAS):
            if options.area and area.name not in options.area:
                continue
            tally = run_area(area, Path(name) / str(number), options.cases, options.seed, keep_on=True)
            total += tally.outcomes
            print(f"{area.name:14}", *(f"{count:7,} {outcome}" for outcome, count in sorted(tally.outcomes.items())))
            for told, count in Counter(tally.findings).most_common(10):
                print(f"    {count} x {told}")
            sys.stdout.flush()
    print(f"{'all':14}", *(f"{count:7,} {outcome}" for outcome, count in sorted(total.items())))
    return 1 if total["finding"] else 0


if __name__ == "__main__":
    sys.exit(main())
