"""Cores and GPUs of this machine, as the system tells what they do."""
