"""Run folders: layout, lock, metrics, status, summary and listing."""
