"""Recommendations: several candidate sources, one gradient-boosted ranker over them."""
