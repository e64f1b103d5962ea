"""Libraries for texts that talk to their own developers, silenced, and their errors in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgekd.errors import ConfigError, EdgekdError


@contextmanager
def silent() -> Iterator[None]:
    """What transformers and huggingface_hub would log or draw inside is dropped; exceptions pass."""
    import huggingface_hub.utils as hub
    from transformers.utils import logging as transformers

    level, bars = transformers.get_verbosity(), transformers.is_progress_bar_enabled()
    hub_level, hub_bars = hub.logging.get_verbosity(), not hub.are_progress_bars_disabled()
    transformers.set_verbosity(transformers.CRITICAL)
    hub.logging.set_verbosity(hub.logging.CRITICAL)
    transformers.disable_progress_bar()
    hub.disable_progress_bars()
    try:
        yield
    finally:
        transformers.set_verbosity(level)
        hub.logging.set_verbosity(hub_level)
        if hub_bars:
            hub.enable_progress_bars()
        if bars:
            transformers.enable_progress_bar()


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
