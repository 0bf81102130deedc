"""Scripts that make what ships in `cache/bundled/` and the tables of docs/results.md,
through the same code as the pages."""
