"""Training jobs, shared selection and snapshots of the folders."""
