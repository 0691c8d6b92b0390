"""What verdicts depend on beside the claims, sources and versions; the folders of checks, figures, unfinished runs."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
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


def data_folder(name: str) -> Path:
    """Return the checkout's folder of this name, as of ``paper_checks``, or the one that an installed copy carries."""
    checkout = PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    return PACKAGE / name


def digest_files(files: Iterable[tuple[str, Path]]) -> str:
    """Digest files, each given with the name that it goes by."""
    found = hashlib.sha256()
    for name, file in files:
        found.update(f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def package_digest() -> str:
    """Digest the Python files of the package."""
    return digest_files((str(file.relative_to(PACKAGE)), file) for file in sorted(PACKAGE.rglob("*.py")))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that compute."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "scipy", "python-flint", "mpmath"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
