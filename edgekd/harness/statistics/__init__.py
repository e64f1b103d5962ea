"""Pure functions from samples to intervals and findings: no I/O, no clock, no randomness.

They take quantiles from `scipy.special`: `scipy.stats` has the same ones and takes half a second to import.
"""
