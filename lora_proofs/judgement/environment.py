"""What verdicts depend on beside the claims: sources and versions; and the folder where unfinished runs are kept."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of the package: what digests of the library take in, wherever the file lies that asks for one."""


def cache_folder() -> Path:
    """Return the folder in which unfinished runs are kept."""
    if folder := os.environ.get("LORA_PROOFS_CACHE"):
        return Path(folder)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lora_proofs"


def digest(path: Path) -> str:
    """Digest a Python file, or all those of a package."""
    found = hashlib.sha256()
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        found.update(f"{file.relative_to(path.parent)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that compute."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "scipy", "python-flint", "mpmath"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
