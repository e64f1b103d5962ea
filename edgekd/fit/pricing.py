"""What shapes of the student cost on every target, before any is trained."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from edgekd.config.pipeline import Pipeline
from edgekd.data.modalities.base import FedRows, fed_rows, feeds_for, shipped_contract
from edgekd.data.samples import Rows
from edgekd.errors import ConfigError, StageError
from edgekd.fit.budget import too_large, unfit
from edgekd.fit.cost_model import fitted, foretold
from edgekd.fit.costs import Stand
from edgekd.fit.expected import expectations
from edgekd.fit.proposals import close_shapes, next_shapes
from edgekd.fit.section import section_of
from edgekd.fit.shape import Network, Shape, model_of
from edgekd.fit.space import Space, automatic
from edgekd.fit.tried import Tried, known_costs
from edgekd.fit.untrained import CALIBRATED_ON, make_files, network_of, quick, shipped_parameters, untrained
from edgekd.graph.quantization.base import Scheme
from edgekd.pipeline.engine import Engine, Selection
from edgekd.pipeline.store import Store, store_root
from edgekd.progress import Progress
from edgekd.records.contract import ModelContract
from edgekd.records.pricing import PredictionRecord, Priced, PricingRecord
from edgekd.stages.assembly import assemble
from edgekd.stages.candidates import named_candidates
from edgekd.stages.files import load_record, load_split
from edgekd.temporary import temporary_folder

FED = 64
"""Training samples that are cycled through while costs are taken."""
TOGETHER = 60
"""Shapes that are measured side by side."""
FRUITLESS = 1000
"""Shapes in a row that do not suit: no others are drawn."""
POOL = 4
"""Shapes that the cost models are asked about for one that is measured."""
LOADS = 4
"""Of each file at first."""
CLOSE = 24
"""Shapes that are measured once more, all side by side, with CLOSE_LOADS loads."""
CLOSE_LOADS = 12


def price(pipeline: Pipeline, progress: Progress, *, deadline: float) -> PricingRecord:
    """Shapes of the pipeline's section `fit`, each untrained, measured on its targets.

    The data stage is run if the store has no result of it: the networks are made for its contract. deadline: of
    `time.monotonic()`; no further shapes are begun that would not be done by then.

    Raises:
        ConfigError: the section is not what it should be, or has no shape that suits the input and the budget.
        TargetError: a target cannot be reached.
    """
    begun = time.monotonic()
    section = section_of(pipeline)
    contract, samples = _data(pipeline, progress)
    with temporary_folder() as folder:
        work = Pricing(pipeline, contract, samples, folder, progress)
        with progress.task("price shapes", section.shapes) as advance:
            for done in work.rounds(deadline):
                advance(done, note=work.told())
        if not work.tried:
            reasons = "; ".join(f"{count} {what}" for what, count in work.skipped.items())
            raise ConfigError(
                f"fit.space: no shape can be measured: {reasons or 'it is empty'}",
                where=pipeline.source.where(("fit", "space")),
                hint="give `space` other values, or a larger `budget`",
            )
        work.close_ones(deadline)
        return work.record(time.monotonic() - begun)


def _data(pipeline: Pipeline, progress: Progress) -> tuple[ModelContract, Rows]:
    """The contract, and some training samples."""
    engine = Engine(Store(store_root()), progress)
    (data,) = engine.run(assemble(pipeline), Selection(until="data"))
    files = engine.paths(data.record.outputs)
    train = load_split(files["train"]).samples
    rows = np.random.default_rng(pipeline.config.seed).permutation(len(train))[:FED]
    return load_record(ModelContract, files["contract"]), train[rows]


class Pricing:
    """Shapes measured so far, `tried`, and which come next; `skipped`: how many were not, by the reason."""

    def __init__(
        self, pipeline: Pipeline, contract: ModelContract, samples: Rows, folder: Path, progress: Progress
    ) -> None:
        self.tried: list[Tried] = []
        self.skipped: Counter[str] = Counter()
        self._section = section = section_of(pipeline)
        self._pipeline, self._contract, self._folder, self._progress = pipeline, contract, folder, progress
        self._seed = pipeline.config.seed
        if any(each.varies for each in contract.inputs):
            raise ConfigError(
                f"shapes are searched for inputs of one size, and those of {contract.modality} vary in length",
                where="fit",
                hint="`edgekd sweep` tries other options of a student",
            )
        feeds = feeds_for(shipped_contract(contract, pipeline.config.export), samples)
        self._stands = [Stand(target, feeds) for target in pipeline.targets]
        self._calibration: FedRows = fed_rows(contract, samples[:CALIBRATED_ON])
        asked = [each for each in section.candidates if isinstance(each, Scheme)]
        named = named_candidates(asked)  # the fp32 file among them, asked for or not
        self._candidates = {name: quick(scheme) for name, scheme in named.items() if scheme in asked}
        variations = section.space or automatic(len(contract.shape))
        self._drawn = self._suitable(iter(Space(variations, section.multiple, self._seed)))
        self._pool: list[tuple[Shape, Network]] = []
        self._generator = np.random.default_rng([self._seed, 1])
        self._campaigns = itertools.count(self._seed)
        self._load_s = 1.0  # what one load of all files of a shape took

    def rounds(self, deadline: float) -> Iterator[int]:
        """Measures shapes, some side by side at a time; yields how many."""
        longest = 0.0
        while len(self.tried) < self._section.shapes and time.monotonic() + longest < deadline:
            begun = time.monotonic()
            made = self._made(self._next(min(TOGETHER, self._section.shapes - len(self.tried))))
            if not made:
                return
            before = time.monotonic()
            self._measure(made, self._stands, LOADS)
            self.tried += made
            self._load_s = (time.monotonic() - before) / (len(made) * LOADS)
            longest = max(longest, time.monotonic() - begun)
            yield len(made)

    def close_ones(self, deadline: float) -> None:
        """Measures those once more that decide what is trained, in one campaign for all."""
        timed = [stand for stand in self._stands if stand.timed]
        room = int((deadline - time.monotonic()) / (self._load_s * CLOSE_LOADS))
        close = close_shapes(self.tried, self._section.budget, min(CLOSE, room)) if room > 0 else []
        if timed and close:
            self._measure(close, timed, CLOSE_LOADS)

    def told(self) -> str:
        within = sum(1 for each in self.tried if not unfit(each.priced(self._section.budget)))
        return f"{within} of {len(self.tried)} within the budget"

    def record(self, seconds: float) -> PricingRecord:
        """Everything found; what the cost models say of a shape is said by those that have not seen it."""
        predictions: list[PredictionRecord] = []
        said: list[dict[tuple[str, str], float]] = [{} for _ in self.tried]
        for stand, candidate in itertools.product(self._stands, self._candidates):
            target = stand.target.name
            costs = known_costs(self.tried, target, candidate)
            if not costs:
                continue
            networks, known = [self.tried[number].network for number in costs], np.array(list(costs.values()))
            told = foretold(networks, known, self._seed)
            for number, value in zip(costs, told, strict=False):
                said[number][target, candidate] = float(value)
            errors = np.abs(told / known - 1) if len(told) else told
            predictions.append(
                PredictionRecord(
                    target=target,
                    candidate=candidate,
                    measured=len(known),
                    median=float(np.median(errors)) if len(errors) else None,
                    p90=float(np.quantile(errors, 0.9)) if len(errors) else None,
                    coefficients=dict(fitted(networks, known).coefficients),
                )
            )
        return PricingRecord(
            shapes=tuple(map(self._priced, self.tried, said)),
            predictions=tuple(predictions),
            skipped=dict(self.skipped),
            seconds=seconds,
        )

    def _priced(self, each: Tried, said: dict[tuple[str, str], float]) -> Priced:
        files = each.priced(self._section.budget, said)
        return Priced(
            shape=each.shape,
            parameters=each.network.parameters,
            macs=each.network.macs,
            files=files,
            unfit=unfit(files),
        )

    def _suitable(self, shapes: Iterator[Shape]) -> Iterator[tuple[Shape, Network]]:
        """Those that make a network for the input, within the budget of parameters, that no other one makes."""
        known: set[Network] = set()
        in_vain = 0  # numbers of a range give ever new shapes, so that the draws alone may have no end
        for shape in shapes:
            if in_vain == FRUITLESS:
                return
            self._progress.stop_point()
            try:
                module = self._untrained(shape)
                reason = too_large(self._section.budget, shipped_parameters(module))
                network = None if reason else network_of(module, self._contract)
            except ConfigError as error:
                reason, network = error.what, None
            if network is None or network in known:
                self.skipped[reason or "that make the same network as another"] += 1
                in_vain += 1
                continue
            in_vain = 0
            known.add(network)
            yield shape, network

    def _untrained(self, shape: Shape) -> nn.Module:
        model = model_of(shape, self._pipeline.source.path.resolve().parent)
        return untrained(model, self._contract, self._seed)

    def _next(self, count: int) -> list[tuple[Shape, Network]]:
        """The first ones as they are drawn, later ones by what the cost models expect."""
        wanted = POOL * count if self.tried else count
        self._pool += itertools.islice(self._drawn, max(0, wanted - len(self._pool)))
        chosen = list(range(min(count, len(self._pool))))
        if self.tried:
            expected = list(expectations(self.tried, self._stands, self._section.budget))
            chosen = next_shapes([network for _, network in self._pool], expected, count, self._generator)
        found = [self._pool[number] for number in chosen]
        self._pool = [each for number, each in enumerate(self._pool) if number not in set(chosen)]
        return found

    def _made(self, chosen: Sequence[tuple[Shape, Network]]) -> list[Tried]:
        """Their files, of those that can be made."""
        made: list[Tried] = []
        for shape, network in chosen:
            self._progress.stop_point()
            stem = self._folder / f"{len(self.tried) + len(made)}"
            try:
                files = make_files(
                    self._untrained(shape),
                    self._contract,
                    self._pipeline.config.export,
                    self._candidates,
                    self._calibration,
                    stem,
                )
            except StageError as error:
                self.skipped[str(error)] += 1
                continue
            made.append(
                Tried(
                    shape,
                    network,
                    stem,
                    {name: each for name, each in files.items() if not isinstance(each, str)},
                    {name: each for name, each in files.items() if isinstance(each, str)},
                )
            )
        return made

    def _measure(self, tried: Sequence[Tried], stands: Sequence[Stand], loads: int) -> None:
        subjects = {
            f"{number}.{name}": subject
            for number, each in enumerate(tried)
            for name, subject in each.subjects().items()
        }
        for stand in stands:
            costs = stand.costs(subjects, loads, next(self._campaigns), self._progress)
            for number, each in enumerate(tried):
                each.costs[stand.target.name] = {name: costs[f"{number}.{name}"] for name in each.files}
