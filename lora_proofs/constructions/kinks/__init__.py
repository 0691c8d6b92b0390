"""Sharper than Theorem 3: frozen layers that share the kinks of a target layer, and what rank is required."""
