"""The Runs view."""
