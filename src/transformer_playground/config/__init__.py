"""Strict TOML configuration: schema and loading."""
