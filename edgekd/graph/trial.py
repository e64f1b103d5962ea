"""A model from elsewhere is loaded and run for the first time in a process of its own: with some the runtime never
ends, deaf to Ctrl-C, and some end the process (a division of the smallest whole number by -1 does)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgekd.child import run_module
from edgekd.errors import ConfigError
from edgekd.temporary import temporary_folder

LONGEST_S = 120.0


def try_out(file: Path, feeds: Mapping[str, NDArray[Any]] = {}, *, also: Sequence[Path] = ()) -> None:
    """Runs the file, and others that were made of it, on zeros and on some samples; what the runtime merely refuses is
    left to whoever runs it next.

    feeds: (N, ...) by input name; of what is left out, the free dimensions are 1.

    Raises:
        ConfigError: the runtime does not survive it, or does not end.
    """
    with temporary_folder() as folder:
        samples = folder / "samples.npz"
        np.savez(samples, allow_pickle=False, **feeds)
        models = [str(each.resolve()) for each in (file, *also)]
        try:
            code = run_module(__name__, [str(samples), *models], LONGEST_S).returncode
        except subprocess.TimeoutExpired:
            raise ConfigError(f"{file}: ONNX Runtime does not end with it within {LONGEST_S:.0f} s") from None
    if code < 0:
        with suppress(ValueError):
            told = f"{-code} ({signal.Signals(-code).name})"
            raise ConfigError(f"{file}: it ends the process of ONNX Runtime {onnxruntime.__version__}: signal {told}")


def _run(path: str, samples: Mapping[str, NDArray[Any]], level: onnxruntime.GraphOptimizationLevel) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    zeros = {}
    for each in session.get_inputs():
        shape = [size if isinstance(size, int) and size > 0 else 1 for size in each.shape]
        dtype = {"float": "float32", "double": "float64"}.get(kind := each.type[len("tensor(") : -1], kind)
        given = samples.get(each.name)
        zeros[each.name] = np.zeros(shape, dtype) if given is None else np.zeros_like(given)
    for feeds in (zeros, {**zeros, **samples}):
        with suppress(Exception):
            session.run(None, feeds)


if __name__ == "__main__":
    import resource

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # a model that complains without end fills no memory of whoever asked
    os.dup2(nowhere, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = int(LONGEST_S) * (os.cpu_count() or 1)  # of all threads: an end even where whoever waits was killed
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    rows = dict(np.load(sys.argv[1]))
    for name in sys.argv[2:]:
        for optimised in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
            with suppress(Exception):
                _run(name, rows, getattr(onnxruntime.GraphOptimizationLevel, optimised))
