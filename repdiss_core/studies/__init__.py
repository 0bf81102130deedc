"""A study is a question: pure functions from choices to the comparisons that answer it. Torch-free."""
