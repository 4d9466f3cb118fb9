"""Loss of a model on a data split."""
