"""The Sweep view."""
