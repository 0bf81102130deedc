"""What everything rests on: errors, paths, the identity of a comparison,
typed results. Imports nothing of the project."""
