"""What finished and running runs tell: losses, texts, reports, comparisons, plots."""
