"""Model view: the modules of a model, what they cost, and how their weights move."""
