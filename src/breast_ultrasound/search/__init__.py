"""Learning rate, grid and cross-validation: sets of runs, summarised."""
