"""How a place in a network is named: NAME is what the layer NAME gives, and NAME:input what it reads."""

from __future__ import annotations

INPUT = ":input"
