"""The export form of the console."""
