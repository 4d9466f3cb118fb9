"""Tasks of EleutherAI's lm-evaluation-harness on runs."""
