"""Statistics of generated text: diversity, novelty and overlap with the training data."""
