"""Large video corpora as a language that a transformer can learn."""
