"""The Live view."""
