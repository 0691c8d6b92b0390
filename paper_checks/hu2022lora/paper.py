r"""Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, arXiv 2106.09685v2, ICLR 2022.

An empirical paper with a definition, a measure of similarity and tables. Checked are: what merging, the scaling alpha /
r and the start B = 0 do; the similarity phi of eq. (4), its random level and its formula in Appendix G; what Table 7
divides by; the parameter counts against the formulas that the paper states for them; and whether tables agree. Title,
authors, venue, script and checkpoint sizes were read in the official repository; sections 5.1, D.4, Appendix G and
Tables 2, 5, 6, 7, 11 and 15 in a conversion of the TeX source. Of Table 10 only a text without its layout was seen:
look it up before relying on it.
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
