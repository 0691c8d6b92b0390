"""Linear chains and factor pairs: Lemma 1 of Zeng & Lee (arXiv 2310.17513v3), in floats, in mpf and over Q."""
