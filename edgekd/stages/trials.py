"""Trying candidates on a target: each proved there, those that could only repeat another one left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.config.target import TargetProfile
from edgekd.errors import StageError
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.schemes import StaticInt8
from edgekd.progress import Progress
from edgekd.records.candidate import CandidateRecord, Caution
from edgekd.records.model import Execution
from edgekd.records.screening import ScreeningRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.harness.screening import Trial
    from edgekd.harness.subject import Feeds

X86 = ("x86_64", "amd64", "i686")
VNNI = frozenset({"avx512_vnni", "avx_vnni"})


@dataclass(frozen=True)
class Trials:
    """Candidates, by name, on one target. `allowed`: those of them that may ship; one that loses more than
    `max_accuracy_drop` is not timed for long. shapes: of what a call is fed, for inputs that leave theirs open."""

    target: TargetProfile
    candidates: Mapping[str, Scheme]
    allowed: Collection[str]
    max_accuracy_drop: float
    files: Mapping[str, Path]
    records: Mapping[str, CandidateRecord]
    shapes: Mapping[str, tuple[int, ...]]

    def screened(
        self,
        feeds: Feeds,
        labels: NDArray[np.int64] | None,
        samples: int,
        seed: int,
        progress: Progress,
        lengths: Mapping[str, int] = {},
    ) -> ScreeningRecord:
        """feeds, labels: of validation samples, in any order but that of the classes, for the time may be up after a
        few; `samples`: how many of them there are, of which these may be a part. lengths: see `screen`.

        Raises:
            StageError: the fp32 file does not run there.
            TargetError: the device cannot be reached.
        """
        from edgekd.harness.screening import not_screened, screen
        from edgekd.stages.targets import device_of

        made = {name: each for name, each in self.records.items() if each.file is not None}
        record = screen(
            device_of(self.target),
            self.target.runtime,
            self.target.measure,
            self.target.name,
            {name: self._trial(name, made) for name in made},
            feeds,
            labels,
            self.max_accuracy_drop,
            seed,
            progress,
            lengths=lengths,
        )
        missing = (
            not_screened(each.name, 0, {}, f"cannot be made: {each.refused}")
            for each in self.records.values()
            if each.file is None
        )
        return record.model_copy(
            update={
                "candidates": (*record.candidates, *missing),
                "validation_samples": samples,
                "cautions": self._cautions(),
            }
        )

    def _cautions(self) -> dict[str, tuple[Caution, ...]]:
        """What the oldest runtime that the target declares cannot load."""
        from edgekd.graph.quantization.portability import needs_newer

        oldest = self.target.oldest_runtime
        if oldest is None:
            return {}
        files = {name: each.file for name, each in self.records.items() if each.file is not None}
        found = {name: needs_newer(each.facts, oldest) for name, each in files.items()}
        return {name: each for name, each in found.items() if each}

    def _trial(self, name: str, made: Mapping[str, CandidateRecord]) -> Trial:
        from edgekd.graph.execution import executed
        from edgekd.harness.screening import Trial
        from edgekd.harness.subject import Subject

        scheme, record = self.candidates[name], made[name]
        assert record.file is not None

        def checked(graph: Path) -> Execution:
            runs = executed(graph)
            try:
                scheme.check(runs)
            except StageError as error:
                raise StageError(f"{name} on {self.target.name}: {error}") from error
            return runs

        def needless(known: Mapping[str, Execution]) -> str:
            return self._needless(scheme, made, known)

        subject = Subject(self.files[name], session=record.file.session, shapes=self.shapes)
        return Trial(subject, checked, name in self.allowed, needless)

    def _needless(self, scheme: Scheme, made: Mapping[str, CandidateRecord], known: Mapping[str, Execution]) -> str:
        """Why it would do there what another candidate does, which is as good or better by design; empty if it may
        not."""
        if scheme.layout == "nchw":
            other = self._named(scheme.model_copy(update={"layout": "auto"}))
            if other in known and not known[other].rearranges:
                return f"runs as {other} does: the runtime there arranges nothing in blocks of channels"
        if isinstance(scheme, StaticInt8) and scheme.reduce_range:
            other = self._named(scheme.model_copy(update={"reduce_range": False}))
            if other in made and not self._sums_overflow():
                return f"needs only 7 of the 8 bits that {other} uses: this processor's sums do not overflow"
        return ""

    def _named(self, scheme: Scheme) -> str:
        """The name of the candidate that is made just so, empty where there is none."""
        return next((name for name, each in self.candidates.items() if each == scheme), "")

    def _sums_overflow(self) -> bool:
        """Whether the target adds pairs of 8-bit products in 16 bits, as x86 without VNNI does."""
        from edgekd.stages.targets import device_of, machine_of

        facts = machine_of(device_of(self.target))
        isa = facts["isa"]
        assert isinstance(isa, list)
        return str(facts["machine"]).lower() in X86 and not VNNI.intersection(map(str, isa))
