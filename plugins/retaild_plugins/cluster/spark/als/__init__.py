"""The trainer: MLlib's ALS on the lake, served from plain arrays without Java."""
