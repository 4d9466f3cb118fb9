"""Google's Learning Interpretability Tool (LIT) on runs."""
