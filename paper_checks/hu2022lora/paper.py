r"""Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, arXiv 2106.09685v2, ICLR 2022.

An empirical paper with a definition, a measure of similarity and tables. Checked are: what merging, the scaling
alpha / r and the start B = 0 do; the similarity phi of eq. (4), its random level and its formula in Appendix G; what
Table 7 divides by; and the parameter counts, against the formulas that the paper states for them.
Title, authors, venue, script and checkpoint sizes were read in the official repository; the tables and appendices in a
text conversion of version 2, so numbers quoted as printed should be looked up in the PDF before they are relied on.
"""

from lora_proofs import Paper

PAPER = Paper(
    key="hu2022lora",
    title="LoRA: Low-Rank Adaptation of Large Language Models",
    authors=(
        "Edward J. Hu", "Yelong Shen", "Phillip Wallis", "Zeyuan Allen-Zhu",
        "Yuanzhi Li", "Shean Wang", "Lu Wang", "Weizhu Chen",
    ),
    year=2021,
    arxiv="2106.09685v2",
)  # fmt: skip
