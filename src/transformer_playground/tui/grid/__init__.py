"""The Grid view."""
