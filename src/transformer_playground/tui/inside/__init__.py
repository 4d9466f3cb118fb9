"""Looking inside a text, token by token."""
