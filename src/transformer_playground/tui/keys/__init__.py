"""All keys of the console, as tables by kind of view."""
