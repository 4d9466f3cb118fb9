"""Where events go: files, TensorBoard, a terminal, a queue."""
