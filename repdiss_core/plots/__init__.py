"""Figures: typed results in, Plotly figures out. The only place that imports plotly,
and imports nothing but results."""
