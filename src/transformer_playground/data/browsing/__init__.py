"""A look at prepared tokens: their text, what is in them, and where."""
