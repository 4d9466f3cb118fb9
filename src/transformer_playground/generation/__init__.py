"""Text generation: prompts, sampling filters and cached decoding."""
