"""A new model must beat the champion and every plain baseline, on enough data."""
