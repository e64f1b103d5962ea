"""Seeds that are made of a training's own."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, purpose: str) -> int:
    """Another seed for each purpose; 64 bits with a sign, as torch takes them."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "little", signed=True)


def peer_seed(seed: int, peer: str) -> int:
    """Of the weights that a peer begins with, and of what is random in its training alone."""
    return derived_seed(seed, f"peers.{peer}")
