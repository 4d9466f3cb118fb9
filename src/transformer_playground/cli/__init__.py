"""`tp`: thin verbs over the core; torch is imported only inside the commands that need it."""
