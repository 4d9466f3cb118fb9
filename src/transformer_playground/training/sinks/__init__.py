"""Sinks of training events: files, TensorBoard, terminal."""
