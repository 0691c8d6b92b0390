"""Run the command line as ``python -m lora_proofs``."""

from lora_proofs.cli import main

main()
