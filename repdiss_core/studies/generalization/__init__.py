"""Section 4 of the paper: classifiers that generalize and classifiers that use a heuristic."""
