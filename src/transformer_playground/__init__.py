"""Train, sample and compare small language models from a terminal."""
