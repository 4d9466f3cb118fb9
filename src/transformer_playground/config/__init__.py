"""Strict TOML configuration: schema, loading and overrides."""
