"""Who vouches for a bundle: the file `manifest.sig` beside its manifest."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from edgekd.records.base import Record


class Signature(Record):
    """key: sha256 (hex) of the public key's 32 bytes, to tell which one it was; signature: of the manifest, base64."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(1, alias="schema")
    algorithm: Literal["ed25519"] = "ed25519"
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    signature: str
