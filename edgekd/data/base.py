"""What every dataset gives, and where it looks for its files."""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from pydantic import Field

from edgekd.config.component import Component
from edgekd.data.samples import LabelledData
from edgekd.progress import Progress


class Dataset(Component):
    """The base of every dataset; `validation` is split from its training part."""

    validation: float | int = Field(
        0.1, gt=0, description="share (below 1) or number of training samples kept for validation"
    )

    if TYPE_CHECKING:  # an option of UserDataset, and pydantic wants no field in the place of a property

        @property
        def modality(self) -> str:
            """What kind of input the samples are: a name of MODALITIES."""

    @abstractmethod
    def load(self, progress: Progress) -> LabelledData:
        """The samples, in an order that does not depend on the machine."""


def data_folders() -> tuple[Path, ...]:
    """Where data is looked for, in order: EDGEKD_DATA, ./data, the user's cache."""
    own = os.environ.get("EDGEKD_DATA")
    return (*((Path(own),) if own else ()), Path("data"), cache_folder() / "data")


def find_data(path: Path, context: Any) -> Path | None:
    """Where a path of a dataset leads: from the folder of the file that names it, else from a data folder.

    context: pydantic's, of the validation.
    """
    folder = Path((context or {}).get("folder", Path()))
    for base in (folder, *data_folders()):
        if (base / path).exists():
            return (base / path).resolve()
    return None


def cache_folder() -> Path:
    """The user's cache folder of edgekd; not created here."""
    return Path(platformdirs.user_cache_dir("edgekd"))
