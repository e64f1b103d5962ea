"""Pure functions from samples to intervals and findings: no I/O, no clock, no randomness."""
