"""Loss plots."""
