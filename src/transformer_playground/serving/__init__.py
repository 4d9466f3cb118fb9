"""Server with OpenAI's interface for one run, with continuous batching."""
