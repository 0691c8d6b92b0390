"""ReLU networks: Lemma 2 and Theorems 3, 5 and 6 of Zeng & Lee (arXiv 2310.17513v3), with certificates and bounds."""
