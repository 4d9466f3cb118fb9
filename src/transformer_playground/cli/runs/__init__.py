"""Commands of `tp runs`."""
