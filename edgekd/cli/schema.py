"""`edgekd schema`: JSON Schema of the files, for editors."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer


class Kind(StrEnum):
    PIPELINE = "pipeline"
    TARGET = "target"


def schema(
    kind: Annotated[Kind, typer.Argument(help="Of which file.")] = Kind.PIPELINE,
) -> None:
    """Print the JSON Schema of pipeline or target files, for completion and checks in editors."""
    from edgekd.config.pipeline import PipelineConfig
    from edgekd.config.target import TargetProfile

    model = PipelineConfig if kind is Kind.PIPELINE else TargetProfile
    content = model.model_json_schema()
    content["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    typer.echo(json.dumps(content, indent=1))
