"""Experiment folders: discovery, preparers, scaffold. Free of torch."""
