#!/usr/bin/env bash
# Check and time the library on an NVIDIA GPU, with CuPy and torch. Run it in a clone on a machine that has one:
#
#     tests/gpu/run.sh            # about ten minutes, most of them installing
#
# It has not been run yet: no GPU was at hand. It prints what it finds and exits with 1 if a test fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
export HF_HUB_OFFLINE=1

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader

venv=$(mktemp -d)/venv
trap 'rm -rf "$(dirname "$venv")"' EXIT
python3 -m venv "$venv"
export PATH="$venv/bin:$PATH"
pip install --quiet -e '.[test]' torch "cupy-cuda${CUDA:-12}x[ctk]"

# Every backend that is there is a parameter of these tests; on this machine CuPy and torch-CUDA must be among them.
pytest --collect-only -q tests/test_backends.py tests/test_ntk_backends.py | grep -q 'cupy' || { echo "CuPy finds no device" >&2; exit 1; }
pytest --collect-only -q tests/test_backends.py tests/test_ntk_backends.py | grep -q 'torch-cuda' || { echo "torch finds no device" >&2; exit 1; }
pytest tests/test_backends.py tests/test_ntk_backends.py -k 'cupy or torch-cuda'

python tests/gpu/timings.py
