"""Cases that nobody thought of."""
