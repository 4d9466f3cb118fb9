"""Import of models that other programs trained, as ordinary runs."""
