"""What the store remembers of one finished stage."""

from __future__ import annotations

from typing import Self

from pydantic import JsonValue

from edgekd.records.artifact import Artifact
from edgekd.records.base import Record, digest


class StageRecord(Record):
    """`preimage` is what was hashed into `fingerprint`; `checksum` guards the record itself against damage."""

    schema_version: int = 1
    stage: str
    fingerprint: str
    preimage: dict[str, JsonValue]
    outputs: dict[str, Artifact]
    headline: str
    warnings: tuple[str, ...] = ()
    seconds: float
    created: str
    checksum: str = ""

    def sealed(self) -> Self:
        return self.model_copy(update={"checksum": self._content_digest()})

    def is_intact(self) -> bool:
        return self.checksum == self._content_digest() and digest(self.preimage) == self.fingerprint

    def _content_digest(self) -> str:
        return digest(self.model_dump(mode="json", exclude={"checksum"}))
