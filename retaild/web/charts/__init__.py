"""Geometry of the charts: figures in, percentages of the plot out; `_charts.html` draws them."""
