"""Certified optima of the linearised problem, by four methods."""
