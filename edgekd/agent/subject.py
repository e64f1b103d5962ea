"""A session ready to be timed: inputs made or read, everything bound, nothing left to allocate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime import OrtValue

from .inputs import input_rows
from .preprocess import preparation, prepared, raw_samples
from .report import Refusal


class Subject:
    """A session with bound inputs and outputs, so that an inference allocates nothing in Python."""

    def __init__(self, session: Any, model: dict[str, Any]) -> None:
        self.session = session
        self.name = model["name"]
        self.samples: list[Any] = []
        if model["preprocess"] is None:
            self.feeds = input_rows(session, model)
        else:
            self.prepare = preparation(model["preprocess"], [each.name for each in session.get_inputs()])
            self.samples = raw_samples(Path(model["inputs"]))
            self.feeds = [prepared(self.prepare, self.samples[0])]
        self.names = [each.name for each in session.get_outputs()]
        self.bindings: list[Any] = []
        self.outputs: list[Any] = []
        self.bound: list[Any] = []  # the runtime does not keep alive what it is bound to

    def run_once(self) -> tuple[int, list[Any]]:
        """The time of the first inference in ns, and its outputs; binds all inputs for the later ones."""
        begin = time.perf_counter_ns()
        outputs = self._run(self.feeds[0])
        taken = time.perf_counter_ns() - begin
        self.bindings = [self._bind(feed, outputs) for feed in self.feeds]
        self.outputs = outputs
        return taken, outputs

    def call(self) -> tuple[Any, list[Any]]:
        """The function to time and the arguments to cycle through."""
        if self.samples:
            return self._label, self.samples
        return self.session.run_with_iobinding, self.bindings

    def client(self) -> tuple[Any, list[Any]]:
        """The same for a thread beside others: what it writes to is its own."""
        if self.samples:
            return self.call()
        return self.session.run_with_iobinding, [self._bind(feed, self.outputs) for feed in self.feeds]

    def _run(self, feed: dict[str, Any]) -> list[Any]:
        try:
            return list(self.session.run(None, feed))
        except MemoryError:
            raise Refusal("memory", f"there is not enough memory to run {self.name}") from None
        except Exception as error:  # noqa: BLE001 - the runtime's exceptions share no base
            cause = "memory" if "bad_alloc" in str(error) or "Failed to allocate" in str(error) else "run"
            raise Refusal(cause, " ".join(str(error).split())) from None

    def _bind(self, feed: dict[str, Any], outputs: list[Any]) -> Any:
        binding = self.session.io_binding()
        for name, content in feed.items():
            binding.bind_ortvalue_input(name, self._value(content))
        for name, output in zip(self.names, outputs, strict=True):
            if isinstance(output, np.ndarray) and output.dtype != object:
                binding.bind_ortvalue_output(name, self._value(output.copy()))
            else:
                binding.bind_output(name)
        return binding

    def _value(self, content: Any) -> Any:
        value = OrtValue.ortvalue_from_numpy(content)
        self.bound.append((value, content))
        return value

    def _label(self, sample: Any) -> int:
        """From a raw sample (1, ...) to the number of its class."""
        return int(self.session.run(None, self.prepare(sample))[0].argmax())


def require_finite(name: str, session: Any, outputs: list[Any]) -> None:
    """
    Raises:
        Refusal: an output holds NaN or infinity.
    """
    for each, output in zip(session.get_outputs(), outputs, strict=True):
        if isinstance(output, np.ndarray) and output.dtype.kind == "f" and not np.isfinite(output).all():
            raise Refusal("nan", f"{name} returns NaN or infinity in its output {each.name!r}")
