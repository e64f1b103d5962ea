"""The user's own recordings, one folder for each class, in a folder or a tar archive."""

from __future__ import annotations

from typing import ClassVar

from edgekd.data.class_folders import Kind
from edgekd.data.files_by_class import FilesByClass
from edgekd.data.image_files import open_files
from edgekd.data.samples import LabelledData, Split
from edgekd.data.sounds import ENDINGS, Sounds
from edgekd.progress import Progress

KIND = Kind("WAV files", "wav")


class SoundFolder(FilesByClass, Sounds):
    """WAV files by class: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*`, of which a share becomes the test split.

    Classes are the names of the folders, sorted. Files count at any depth below their class, those of other kinds are
    passed over. A share is drawn without regard to who speaks: where one person is in several files, give a test
    folder with people of its own.
    """

    endings: ClassVar[frozenset[str]] = ENDINGS

    def load(self, progress: Progress) -> LabelledData:
        files = open_files(self._found, ENDINGS)
        found = self.arranged(files.names, KIND)
        everything = Split(self._recordings(files, found.names, progress), found.labels)
        return LabelledData(everything.only(found.train), everything.only(found.test), found.classes, self._reading())
