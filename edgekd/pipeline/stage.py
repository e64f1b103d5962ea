"""The protocol of a stage: what it reads, what it writes, and what decides its result."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pydantic import JsonValue

from edgekd.progress import Progress
from edgekd.records.base import Record


@dataclass
class Context:
    """What the engine gives a running stage.

    `work` is the stage's own folder: it survives an interruption, so checkpoints belong there, and beside `cache`
    it is the only place a stage writes to. `cache` is a folder of all stages of all runs, for what costs only time when
    it is lost; it may not exist yet, and what is in it may vanish. `seed` is its only source of randomness.
    """

    work: Path
    cache: Path
    outputs: Mapping[str, str]
    seed: int
    progress: Progress
    warnings: list[str] = field(default_factory=list)

    def output(self, port: str) -> Path:
        """Where the stage writes what it gives out at `port`."""
        folder = self.work / "outputs"
        folder.mkdir(exist_ok=True)
        return folder / self.outputs[port]

    def fresh_folder(self, name: str) -> Path:
        """An empty folder inside the work folder."""
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def warn(self, text: str) -> None:
        """Something the user should know that stops nothing; kept with the result."""
        self.warnings.append(text)
        self.progress.say(f"warning: {text}")


class Stage(ABC):
    """One step of a pipeline, with its options.

    What is a property here may be an attribute of the class, or a property that depends on the options.
    """

    name: ClassVar[str]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The ports that a plan must wire; it may wire more."""
        return ()

    @property
    @abstractmethod
    def outputs(self) -> Mapping[str, str]:
        """The file name of each port, whose ending tells the kind."""

    @property
    def records(self) -> Mapping[str, type[Record]]:
        """The type of record that each output that is a .json file holds, by its port."""
        return {}

    @property
    def optional(self) -> frozenset[str]:
        """The outputs that may be left out."""
        return frozenset()

    @property
    @abstractmethod
    def libraries(self) -> tuple[str, ...]:
        """The distributions whose change can change the result; edgekd's own code is found from the imports."""

    @property
    def seeded(self) -> bool:
        return False

    @property
    def alone(self) -> bool:
        """Whether its result is bent by whatever else this machine does meanwhile, when it runs on this machine."""
        return False

    @property
    def apart(self) -> bool:
        """Whether nobody reads what it makes: it comes before all that stands after it in the plan, also before what
        is asked for by name (--until), and runs again even where --from starts after it."""
        return False

    @abstractmethod
    def identity(self) -> JsonValue:
        """The options that decide the result, defaults filled in, without paths, times or host names."""

    def environment(self) -> dict[str, JsonValue]:
        """What of this machine decides the result; only measuring and running on it depend on any."""
        return {}

    @abstractmethod
    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        """Writes every output and returns a headline: the result in a few words."""

    def accept(self, outputs: Mapping[str, Path]) -> None:  # noqa: B027 - most stages demand nothing
        """Checks a finished result, cached or new, against what the pipeline demands of it.

        Raises:
            StageError: it is not good enough to go on with.
        """
