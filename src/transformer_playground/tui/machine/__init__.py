"""The Machine view."""
