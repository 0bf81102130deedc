"""Benchmarks: one file each, run by `python -m repdiss_core bench`."""
