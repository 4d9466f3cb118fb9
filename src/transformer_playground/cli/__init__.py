"""`tp` commands; torch is imported only inside the commands that need it."""
