"""The libraries that edgekd does without until something needs them, and how they are installed."""

from __future__ import annotations

import importlib.util

MODULES = {"pillow": "PIL", "scikit-learn": "sklearn"}
"""What distributions are imported as, where that is not their name."""
EXTRAS = {
    "train": ("onnxscript", "pillow", "safetensors", "scikit-learn", "torch", "torchvision"),
    "text": ("transformers", "tokenizers"),
    "select": ("optuna",),
    "sweep": ("optuna", "ray"),
    "sign": ("cryptography",),
}
"""The distributions of each extra, as in pyproject.toml; the first that has one is named."""


def install_command(module: str) -> str | None:
    """What installs a module, by the name that it is imported by; None where no extra has it."""
    for extra, distributions in EXTRAS.items():
        if module.partition(".")[0] in (MODULES.get(each, each) for each in distributions):
            return f"python -m pip install 'edgekd[{extra}]'"
    return None


def missing(distribution: str) -> str | None:
    """The command that installs a distribution of an extra, if it is not there."""
    module = MODULES.get(distribution, distribution)
    command = install_command(module)
    if command is None:
        return None
    try:
        there = importlib.util.find_spec(module) is not None
    except ImportError:
        there = False
    return None if there else command
