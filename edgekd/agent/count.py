"""The job that marks the beginning and end of inferences, for an emulator that counts instructions."""

from __future__ import annotations

import itertools
import os
from typing import Any

from .measure import load_all
from .report import Reporter

WARM_UP = 5


def count(job: dict[str, Any], report: Reporter) -> None:
    """For each model, `runs` times: mark, one inference, mark, nothing, mark. getppid is the mark: a system call
    that does nothing, and that neither Python nor the runtime makes."""
    mark = os.getppid
    for position in range(len(job["models"])):
        subjects, _ = load_all(job["models"], [position], job["runtime"], report)
        function, arguments = subjects[position].call()
        for argument in itertools.islice(itertools.cycle(arguments), WARM_UP):
            function(argument)
            _nothing(argument)
        for argument in itertools.islice(itertools.cycle(arguments), job["runs"]):
            mark()
            function(argument)
            mark()
            _nothing(argument)
            mark()


def _nothing(_argument: object) -> None:
    pass
