"""How the agent speaks: events in JSON lines, and the one exception that becomes an event."""

from __future__ import annotations

import json
import os
from typing import Any


class Refusal(Exception):  # noqa: N818 - it is an answer, not a bug
    """What the agent will not do; `cause` tells the host what kind of reason it has."""

    def __init__(self, cause: str, what: str) -> None:
        super().__init__(what)
        self.cause = cause
        self.what = what


class Reporter:
    """JSON lines on the original standard output; whatever else prints there goes to standard error."""

    def __init__(self) -> None:
        self.stream = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def __call__(self, event: str, **facts: Any) -> None:
        print(json.dumps({"event": event, **facts}), file=self.stream)
