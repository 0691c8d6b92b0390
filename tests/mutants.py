"""Mutants of the library: does some test of a module notice when one expression of the module is changed?

    python -m tests.mutants [MODULE ...]      # in the root; a module as in `TESTS`, e.g. ntk.losses; all without one

draws 40 mutants a module (the same ones as long as their functions stay), judges each by that module's own tests,
prints the survivors with their place, and writes the verdicts of these modules to `tests/mutants.toml`. There a
survivor reads "survives: REASON"; the reason is typed in by hand, and kept when the file is made again. Exit code 1 if
fewer than 90 % of a module's mutants are killed or a survivor has no reason. A mutant is killed if a test fails, or if
the tests need three times their processor time and three seconds more.

A mutant is known by its function and by what is changed there, not by its line. Which tests are a module's stands in
`TESTS`: add a file there when you write one (files that do not exist yet are passed over).

One process loads the libraries once and forks a child for each mutant, as neither mutmut nor cosmic-ray does; the child
imports the changed module in place of the module and runs, the fastest first, the tests that reach the changed line.
Linux only.
"""

import ast
import json
import os
import pickle
import resource
import signal
import sys
import tomllib
import traceback
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from time import perf_counter

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from mutations import Mutant, mutants, sample  # noqa: E402

VERDICTS = ROOT / "tests" / "mutants.toml"
SAMPLE, SHARE = 40, 0.9
SLOWER, SECONDS, MEMORY = 3, 3, 16 << 30
BROKEN = 70

TESTS = {
    "judgement.values": ["values"],
    "judgement.verify": ["verify"],
    "judgement.ladder": ["ladder", "verify"],
    "judgement.cases": ["claims", "verify"],
    "judgement.claims": ["claims", "verify"],
    "exact.matrices": ["exact"],
    "exact.algebra": ["exact"],
    "enclosure": ["enclosure", "values"],
    "float_bounds": ["float_bounds"],
    "tools.compress": ["compress"],
    "constructions.relu.certify": ["relu_certify"],
    "constructions.transformer.certify": ["transformer_certify", "transformer_adapt"],
    "constructions.transformer.forms": ["transformer_certify", "transformer_adapt"],
    "constructions.kinks.krawczyk": ["krawczyk"],
    "constructions.kinks.system": ["kinks", "staggered", "krawczyk"],
    "constructions.kinks.pencils": ["low_rank", "krawczyk"],
    "constructions.kinks.staggered": ["staggered"],
    "constructions.relu.norm_bounds": ["norm_bounds", "error_bounds"],
    "constructions.relu.error_bounds": ["error_bounds"],
    "constructions.chain.partial_svd": ["partial_svd"],
    "ntk.spectrum": ["ntk_spectrum", "ntk_certificate", "ntk_rigorous"],
    "ntk.rigorous": ["ntk_rigorous", "ntk_certificate"],
    "ntk.certificate": ["ntk_certificate", "ntk_rigorous"],
    "ntk.losses": ["ntk_losses", "ntk_problem", "ntk_certificate"],
    "ntk.second_order": ["ntk_second_order"],
    "ntk.solvers.unregularised": ["ntk_unregularised", "ntk_lam_zero"],
    "ntk.rank_reduction": ["ntk_rank_reduction"],
    "ntk.bracket": ["ntk_bracket", "ntk_attack"],
    "ntk.units": ["ntk_units"],
}


class Trace:
    """A pytest plugin: for each test its seconds and the lines of a file that it reaches; what was imported."""

    def __init__(self, path: Path) -> None:
        self.path, self.now = str(path), set()
        self.lines: dict[str, set[int]] = defaultdict(set)
        self.seconds: dict[str, float] = {}
        self.files: dict[str, Path] = {}
        self.shared: set[int] = set()

    def _call(self, frame, event, arg):
        return self._line if frame.f_code.co_filename == self.path else None

    def _line(self, frame, event, arg):
        self.now.add(frame.f_lineno)
        return self._line

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.now, start = self.lines[item.nodeid], perf_counter()
        sys.settrace(self._call)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self.seconds[item.nodeid], self.files[item.nodeid] = perf_counter() - start, item.path

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        before = self.now
        self.now = before if fixturedef.scope == "function" else self.shared
        try:
            return (yield)
        finally:
            self.now = before


class Select:
    """A pytest plugin that runs some tests only, in this order."""

    def __init__(self, tests: list[str]) -> None:
        self.tests = tests

    def pytest_collection_modifyitems(self, items):
        found = {item.nodeid: item for item in items}
        items[:] = [found[test] for test in self.tests if test in found]


class Changed(SourceFileLoader):
    """Loads a module from a tree in place of its file."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        super().__init__(name, str(path))
        self.code = compile(tree, str(path), "exec")

    def get_code(self, fullname):
        return self.code

    def find_spec(self, fullname, path=None, target=None):
        return spec_from_file_location(self.name, self.path, loader=self) if fullname == self.name else None


def forked(work: Callable[[], object], cpu_seconds: float = 0) -> tuple[int, object]:
    """Run `work` in a child; return how it ended (0, or a code or signal) and what it returned."""
    read, write = os.pipe()
    if not (child := os.fork()):
        os.close(read)
        code, stderr = BROKEN, os.fdopen(os.dup(2), "w")
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1), os.dup2(quiet, 2)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            if cpu_seconds:
                resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_seconds) + 1, int(cpu_seconds) + 2))
                signal.alarm(60 + int(10 * cpu_seconds))  # for what waits without computing
            with open(write, "wb") as pipe:
                pickle.dump(work(), pipe)
            code = 0
        except BaseException:
            traceback.print_exc(file=stderr)
            stderr.flush()
        finally:
            os._exit(code)
    os.close(write)
    answer = None
    with open(read, "rb") as pipe, suppress(EOFError):
        answer = pickle.load(pipe)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == BROKEN:  # no verdict on a mutant
        raise SystemExit("the driver itself failed in a child")
    return code, answer


def run_pytest(files: list[Path], plugin: object) -> int:
    """Run test files in this process; a failing example of hypothesis is not made smaller."""
    load = hypothesis.settings.load_profile

    def without_shrinking(name):
        load(name)
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", hypothesis.settings.default, phases=phases, database=None)
        load("mutants")

    type.__setattr__(hypothesis.settings, "load_profile", staticmethod(without_shrinking))
    options = ["-x", "-q", "--tb=no", "--assert=plain", "-pno:cacheprovider", "-pno:benchmark"]
    return int(pytest.main([*options, f"-c{ROOT / 'pyproject.toml'}", *map(str, files)], [plugin]))


def judge(name: str, path: Path, files: list[Path], size: int = SAMPLE) -> list[tuple[Mutant, str]]:
    """Return a sample of the mutants of a module, each with "killed", "killed (time)" or "survives"."""

    def baseline():
        code = run_pytest(files, trace := Trace(path))
        loaded = [key for key, module in sys.modules.items() if "-packages" in (getattr(module, "__file__", 0) or "")]
        return code, trace.seconds, trace.lines, trace.shared, trace.files, loaded

    code, result = forked(baseline)
    if code or result[0]:
        raise SystemExit(f"{name}: its tests must pass first: python -m pytest {' '.join(map(str, files))}")
    _, seconds, reached, shared, where, loaded = result
    for library in loaded:  # children find them loaded
        with suppress(Exception):
            import_module(library)

    tree = ast.parse(path.read_text(encoding="utf-8"))
    judged = []
    for mutant in sample(mutants(tree), size):
        lines = set(mutant.lines)
        everywhere = not lines or shared & lines
        tests = sorted((test for test in seconds if everywhere or reached[test] & lines), key=seconds.get)

        def run(mutant=mutant, tests=tests):
            mutant.apply()
            sys.meta_path.insert(0, Changed(name, path, tree))
            return run_pytest(sorted({where[test] for test in tests}), Select(tests))

        code, failed = forked(run, SLOWER * sum(seconds[test] for test in tests) + SECONDS) if tests else (0, 0)
        slow = -code in {signal.SIGXCPU, signal.SIGKILL, signal.SIGALRM}
        judged.append((mutant, "killed (time)" if slow else "killed" if code or failed else "survives"))
    return judged


def main(names: list[str]) -> int:
    """Judge the modules, write the verdicts, and return the exit code."""
    if unknown := sorted(set(names) - TESTS.keys()):
        raise SystemExit(f"no such module: {', '.join(unknown)}; there are {', '.join(TESTS)}")
    bad = False
    for name in names or TESTS:
        path = ROOT / "lora_proofs" / f"{name.replace('.', '/')}.py"
        files = [file for test in TESTS[name] for file in (ROOT / "tests").rglob(f"test_{test}.py")]
        if not path.is_file() and not names:
            continue
        judged = judge(f"lora_proofs.{name}", path, files)
        stored = tomllib.loads(VERDICTS.read_text(encoding="utf-8")) if VERDICTS.is_file() else {}
        reasons = {key: old for key, old in stored.get(name, {}).items() if old.startswith("survives")}
        stored[name] = {
            m.name: reasons.get(m.name, verdict) if verdict == "survives" else verdict for m, verdict in judged
        }
        survivors = [mutant for mutant, verdict in judged if verdict == "survives"]
        share = 1 - len(survivors) / max(len(judged), 1)
        print(f"{name}: {share:.0%} of {len(judged)} killed")
        for mutant in survivors:
            line = mutant.lines[0] if mutant.lines else ""
            print(f"  {path.name}:{line} {mutant.name}: {stored[name][mutant.name]}", flush=True)
        bad |= share < SHARE or "survives" in stored[name].values()
        write(stored)
    return int(bad)


def write(stored: dict[str, dict[str, str]]) -> None:
    """Write the verdicts of all modules, in the order of `TESTS`."""
    lines = ["# Made by `python -m tests.mutants`; only the reasons of survivors are written by hand."]
    for name in (name for name in TESTS if name in stored):
        lines += ["", f"[{json.dumps(name)}]"]
        lines += [f"{json.dumps(key)} = {json.dumps(verdict)}" for key, verdict in stored[name].items()]
    VERDICTS.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
