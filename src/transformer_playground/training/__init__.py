"""The training loop, its optimizers and schedules, and the events it emits."""
