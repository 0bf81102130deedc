"""Section 5 of the paper: one family of models across scale."""
