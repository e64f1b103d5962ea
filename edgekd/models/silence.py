"""Libraries for texts that talk to their own developers, silenced, and their errors in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from edgekd.errors import ConfigError, EdgekdError


@contextmanager
def silent() -> Iterator[None]:
    """What transformers and huggingface_hub would log or draw inside is dropped; exceptions pass."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # it lists no names as its own
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging as transformers

    level, bars = transformers.get_verbosity(), transformers.is_progress_bar_enabled()
    hub_level, hub_quiet = hub.get_verbosity(), are_progress_bars_disabled()
    transformers.set_verbosity(logging.CRITICAL)
    hub.set_verbosity(logging.CRITICAL)
    transformers.disable_progress_bar()  # type: ignore[no-untyped-call]
    disable_progress_bars()
    try:
        yield
    finally:
        transformers.set_verbosity(level)
        hub.set_verbosity(hub_level)
        if not hub_quiet:
            enable_progress_bars()
        if bars:
            transformers.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def told(what: str, hint: str) -> Iterator[None]:
    """Whatever such a library raises inside, of a user's files, becomes one error that begins with `what`.

    Raises:
        ConfigError: as said.
    """
    try:
        yield
    except EdgekdError:
        raise
    except Exception as error:
        raise ConfigError(f"{what}: {first_line(error)}", hint=hint) from error


def first_line(error: BaseException) -> str:
    """What an error says first, without what follows."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
