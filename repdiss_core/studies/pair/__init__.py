"""Any two models: maps, their difference, stitches."""
