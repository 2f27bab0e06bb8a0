"""The page of results: what the pipeline and its studies found, for people without DVC."""
