"""Six exercises on the theory of LoRA, to be graded with ``lora-proofs grade``.

Each file here is a check file with holes: functions marked with `lora_proofs.homework.hole` that students fill in. The
file of the same name in ``solutions/`` has them filled in; it is the reference that grading needs. A teacher's own
homework is made the same way: write a check file (``paper_checks/TEMPLATE.py`` shows how), let its checks call
functions marked with ``@hole`` on arrays, then hand out a copy with their bodies removed.

- ``eckart_young.py``: the best adapter of one matrix
- ``linear_chain.py``: adapters of a chain of layers (Zeng & Lee, Lemma 1)
- ``relu_biases.py``: biases that keep neurons active on a box (Lemma 2)
- ``attention_head.py``: an attention head at rank D/2 (Theorem 7)
- ``nuclear_norm_dual.py``: a dual certificate (Jang, Lee & Ryu)
- ``spurious_minimum.py``: a spurious local minimum by hand
"""
