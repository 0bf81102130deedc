"""Section 3 of the paper: stitching and CKA between SoLU and GeLU models."""
