"""The decoder-only transformer: one file for each concern, every knob a small registered piece."""
