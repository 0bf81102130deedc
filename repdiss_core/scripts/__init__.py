"""Scripts beside the dashboard: benchmarks, what ships, training of the bundled models."""
