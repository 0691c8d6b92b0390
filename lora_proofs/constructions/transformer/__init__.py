"""Transformers: Theorem 7 of Zeng & Lee (arXiv 2310.17513v3), with certificates for every input."""
