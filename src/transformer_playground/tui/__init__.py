"""`tp-tui`: the console; with `--run` the whole job without a screen."""
