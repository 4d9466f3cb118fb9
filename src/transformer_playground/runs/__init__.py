"""Run folders: layout, lock, rows, status, summary and listing."""
