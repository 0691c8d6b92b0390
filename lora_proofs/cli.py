"""The command line: ``lora-proofs list``, ``check``, ``falsify`` and ``plan``.

Only click is imported at the top; what a command needs, it imports itself, so that ``--help`` is quick.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lora_proofs import __version__
from lora_proofs.claims import Params, parse_point

if TYPE_CHECKING:
    from lora_proofs.claims import Claim
    from lora_proofs.collect import Selection
    from lora_proofs.falsify import Search
    from lora_proofs.gallery import Script as FigureScript
    from lora_proofs.page import Picture
    from lora_proofs.plans import Plan
    from lora_proofs.report import Report

SEEDS = 5
INTERRUPTED = 130

_COLOURS: dict[str, dict[str, Any]] = {
    "head": {"bold": True},
    "good": {"fg": "green"},
    "doubt": {"fg": "yellow"},
    "bad": {"fg": "red"},
    "": {},
}


class BadInput(click.ClickException):
    """Input that cannot be used; shown in one line."""

    exit_code = 2


def main() -> None:
    """Run the command line; whatever is wrong with the input takes one line."""
    try:
        sys.exit(cli.main(prog_name="lora-proofs", standalone_mode=False))
    except click.ClickException as problem:
        _note(f"Error: {problem.format_message()}")
        sys.exit(problem.exit_code)
    except click.Abort:
        _note("interrupted")
        sys.exit(INTERRUPTED)
    except OSError as problem:  # such as a full disk under standard output
        _discard_output()
        _note(f"Error: {problem}")
        sys.exit(BadInput.exit_code)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lora-proofs", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Verify the theory of Low-Rank Adaptation (LoRA) by computing with it."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


_output = click.Path(dir_okay=False, allow_dash=True)


def _parse_case(context: click.Context, option: click.Parameter, values: Sequence[str]) -> list[Params]:
    try:
        return [parse_point(value) for value in values]
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from None


def _parse_jobs(context: click.Context, option: click.Parameter, value: int) -> int:
    if value == 0 or value < -1:
        raise click.BadParameter("give a positive number, or -1 for every core")
    return value


def _parse_backend(context: click.Context, option: click.Parameter, value: str) -> str:
    if value != "numpy":
        from lora_proofs.backends import namespace

        try:
            namespace(value)
        except ValueError as problem:
            raise click.BadParameter(str(problem)) from None
    return value


@cli.command(name="list")
@click.option("--json", "json_file", type=_output, metavar="FILE", help="Write the list as JSON ('-': stdout).")
@click.option(
    "--coverage", is_flag=True, help="List each paper's statements: those checked, and why the others are not."
)
def list_claims(json_file: str | None, coverage: bool) -> None:
    """List papers and claims with their statements and numbers of cases."""
    _require_folders(json_file)
    selections = _collect((), outlined=True)
    if coverage:
        _list_coverage(selections, json_file)
        return
    if json_file:
        _write(json_file, json.dumps({"schema": 1, "papers": [_describe(s) for s in selections]}, indent=1) + "\n")
    for selection in selections:
        paper = selection.paper
        source = f", arXiv:{paper.arxiv}" if paper.arxiv else ""
        _say(f"{paper.key}: {paper.title} ({paper.year}{source})", "head", json_file)
        for claim in selection.claims:
            _say(f"  {claim.label}  [{claim.kind}; cases: {_number_of_cases(claim)}]", "", json_file)
            _say(f"      {claim.statement.splitlines()[0]}", "", json_file)


def _list_coverage(selections: list[Selection], json_file: str | None) -> None:
    """Print what is checked of each paper, and note where the table of statements and the claims disagree."""
    from lora_proofs.collect import checks_folder
    from lora_proofs.coverage import KNOWN, discrepancies, read_coverage

    with _bad_input():
        found = read_coverage(checks_folder() / "coverage.toml")
    papers = [selection.paper for selection in selections]
    for line in discrepancies(found, papers):
        _note(f"warning: {line}")
    shown = [found[paper.key] for paper in papers if paper.key in found]
    if json_file:
        _write(json_file, json.dumps({"schema": 1, "papers": [paper.to_json() for paper in shown]}, indent=1) + "\n")
    for paper in shown:
        headline, *lines = paper.lines()
        _say(headline, "head", json_file)
        for line in lines:
            _say(line, "", json_file)
    for mark in ("summary", "recalled"):
        _say(f"[{mark}] {KNOWN[mark]}", "", json_file)


@cli.command()
@click.argument("selectors", nargs=-1, metavar="[PATH|LABEL]...")
@click.option("--seeds", type=click.IntRange(min=1), default=SEEDS, show_default=True, help="Seeds per case.")
@click.option("--seed", default=0, show_default=True, help="The first seed.")
@click.option(
    "--case", "points", multiple=True, callback=_parse_case, metavar="K=V,...",
    help="Fix parameters in place of the grid's values, such as D=8,L=2. May be given several times.",
)  # fmt: skip
@click.option(
    "-j", "--jobs", default=1, show_default=True, callback=_parse_jobs, metavar="N",
    help="Worker processes; -1 uses every core.",
)  # fmt: skip
@click.option("--dask", metavar="ADDRESS", help="Run on the cluster of this Dask scheduler, such as tcp://host:8786.")
@click.option(
    "--backend", default="numpy", show_default=True, metavar="NAME", callback=_parse_backend,
    help="Array library of claims judged in floats: numpy, strict, jax, torch or cupy.",
)  # fmt: skip
@click.option(
    "--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True,
    help="With float32, claims that do not hold in it are tried in float64.",
)  # fmt: skip
@click.option("--json", "json_file", type=_output, metavar="FILE", help="Write JSON ('-': stdout).")
@click.option("--junit", "junit_file", type=_output, metavar="FILE", help="Write JUnit XML ('-': stdout).")
@click.option("--strict", is_flag=True, help="Exit with 3 when something is inconclusive.")
def check(
    selectors: tuple[str, ...], seeds: int, seed: int, points: list[Params], jobs: int,
    dask: str | None, backend: str, dtype: str, json_file: str | None, junit_file: str | None, strict: bool,
) -> None:  # fmt: skip
    """Check claims.

    Those of the given files, papers or labels; without any, every paper's.

    Exit code: 0 all hold; 1 something fails; 2 bad input; 3 inconclusive (with --strict); 130 interrupted.
    """
    from lora_proofs.plans import plan

    _require_folders(json_file, junit_file)
    if json_file == junit_file == "-":
        raise BadInput("--json and --junit cannot both write to standard output")
    selections = _collect(selectors, outlined=bool(dask) or jobs != 1)  # the workers load what they run
    if points:
        _require_parameters(selections, points)
    stretches = plan(selections, seeds, seed, points or [{}], backend, dtype)
    report = _run(stretches, selections, jobs, dask)
    for line in report.lines():
        _say(line.text, line.style, "-" if junit_file == "-" else json_file)
    if json_file:
        _write(json_file, report.json())
    if junit_file:
        _write(junit_file, report.junit(strict))
    sys.exit(report.exit_code(strict))


def _run(stretches: Plan, selections: list[Selection], jobs: int, dask: str | None) -> Report:
    from lora_proofs.collect import CollectError
    from lora_proofs.journal import Journal
    from lora_proofs.report import Report
    from lora_proofs.sweep import sweep
    from lora_proofs.workers import ClusterError, WorkerDied, cluster, processes

    journal = Journal(stretches, warn=lambda text: _note(f"warning: {text}"))
    total = journal.size
    if journal.kept:
        _note(f"resuming: {journal.kept} of {total} cases were finished before")
    start = time.perf_counter()
    try:
        with cluster(dask) if dask else processes(jobs) as workers, _progress_bar(total, journal.kept) as advance:
            tallies = sweep(stretches, journal, workers, advance)
    except KeyboardInterrupt:
        _note(f"interrupted: {journal.kept} of {total} cases are kept; the same command goes on from there")
        sys.exit(INTERRUPTED)
    except WorkerDied as problem:
        raise click.ClickException(
            f"{problem}; {journal.kept} of {total} cases are kept; "
            "the same command goes on from there, with -j 1 it needs the least memory"
        ) from None
    except (ClusterError, CollectError) as problem:  # the latter from a check file that changed while the run went on
        raise BadInput(str(problem)) from None
    command = shlex.join(["lora-proofs", *sys.argv[1:]])
    return Report(selections, tallies, time.perf_counter() - start, command, journal.verdicts)


@cli.command()
@click.argument("selectors", nargs=-1, required=True, metavar="[PATH] LABEL")
@click.option("--budget", type=click.IntRange(min=1), metavar="N", help="Instances to try.  [default: 1000]")
@click.option("--seed", default=0, show_default=True, help="The first seed.")
@click.option(
    "--replay", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
    help="Judge the instance that an earlier search wrote with --json, in place of searching.",
)  # fmt: skip
@click.option("--json", "json_file", type=_output, metavar="FILE", help="Write JSON ('-': stdout).")
def falsify(
    selectors: tuple[str, ...], budget: int | None, seed: int, replay: str | None, json_file: str | None
) -> None:
    """Search for the instance that comes closest to breaking a claim.

    Exit code: 1 a violation is confirmed and the claim is not recorded as false; 2 bad input; 130 interrupted, after
    the worst instance so far; else 0.
    """
    from lora_proofs.falsify import BUDGET

    _require_folders(json_file)
    claim = _one_claim(selectors)
    search = _replay(claim, replay) if replay else _search(claim, budget or BUDGET, seed)
    if search.tried and sum(search.errors.values()) == search.tried:
        raise BadInput(f"{claim.label} raises wherever it is tried: {next(iter(search.errors))}")
    for text, style in _describe_search(search, [*selectors], replay or json_file):
        _say(text, style, json_file)
    if json_file:
        _write(json_file, json.dumps(search.to_json(), indent=1, allow_nan=False) + "\n")
    sys.exit(INTERRUPTED if search.interrupted else search.exit_code)


@cli.command()
@click.argument("frozen", type=click.Path(exists=True, dir_okay=False))
@click.argument("target", type=click.Path(exists=True, dir_okay=False))
@click.option("--json", "json_file", type=_output, metavar="FILE", help="Write JSON ('-': stdout).")
def plan(frozen: str, target: str, json_file: str | None) -> None:
    """Plan the ranks that turn one ReLU network into another.

    FROZEN and TARGET are safetensors files of tensors LAYER.weight and LAYER.bias, as torch.nn.Sequential names them;
    ReLU follows every layer. Exit code: 2 bad input; else 0.
    """
    from lora_proofs.planner import plan_files

    _require_folders(json_file)
    try:
        found = plan_files(frozen, target)
    except ValueError as problem:
        raise BadInput(str(problem)) from None
    _say(str(found), "", json_file)
    if json_file:
        _write(json_file, found.to_json())


@cli.command()
@click.argument("frozen", type=click.Path(exists=True, dir_okay=False))
@click.argument("target", type=click.Path(exists=True, dir_okay=False))
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--rank", type=click.IntRange(min=1), default=8, show_default=True, help="Rank of every adapter.")
@click.option("--box", type=float, default=4.0, show_default=True, help="ReLU networks: certify for |x_i| up to this.")
def export(frozen: str, target: str, folder: str, rank: int, box: float) -> None:
    """Build a PEFT adapter between two stored models.

    FROZEN and TARGET are safetensors files: of the same tensors (a base and its fine-tune: each matrix that differs
    gets its best adapter), or two ReLU networks of different depth as `plan` reads them (Theorem 3, biases included).
    """
    from lora_proofs.export import export_adapters

    with _bad_input():
        for line in export_adapters(frozen, target, folder, rank, box).lines:
            _say(line, "", None)


@cli.command()
@click.argument("adapter", type=click.Path(exists=True, file_okay=False))
@click.argument("out", type=click.Path(file_okay=False))
@click.option("--rank", type=click.IntRange(min=1), help="Rank of the result.")
@click.option("--tolerance", type=float, help="Or: the smallest ranks with ||dW - dW'||_F <= TOLERANCE ||dW||_F.")
@click.option(
    "--problem", type=click.Path(exists=True, dir_okay=False), metavar="NPZ",
    help="Or: keep the outputs of this linearised problem (gradients.MODULE, offsets, labels, loss, lam).",
)  # fmt: skip
def compress(adapter: str, out: str, rank: int | None, tolerance: float | None, problem: str | None) -> None:
    """Reduce the ranks of a trained PEFT adapter.

    The result goes to another folder, OUT; its distance from the original is certified.
    """
    from lora_proofs.compress import compress_folder

    if sum(option is not None for option in (rank, tolerance, problem)) != 1:
        raise BadInput("pass one of --rank, --tolerance and --problem")
    with _bad_input():
        for line in compress_folder(adapter, out, rank, tolerance, problem):
            _say(line, "", None)


@cli.command()
@click.argument("adapter", type=click.Path(exists=True, file_okay=False))
@click.argument("base", type=click.Path(exists=True))
@click.option("--json", "json_file", type=_output, metavar="FILE", help="Write JSON ('-': stdout).")
def inspect(adapter: str, base: str, json_file: str | None) -> None:
    """Show what a PEFT adapter does to its base.

    Spectra, intruder dimensions and ranks of every module, beside the papers' thresholds. BASE is the model's folder,
    or its safetensors file.
    """
    from lora_proofs.adapters import fan_in_fan_out, load_peft, tensors_beside
    from lora_proofs.inspection import inspect_adapter, read_base, table, to_json

    _require_folders(json_file)
    with _bad_input():
        weights, d_head = read_base(base)
        reports = inspect_adapter(load_peft(adapter, beside=True), weights, d_head, fan_in_fan_out(adapter))
        beside = tensors_beside(adapter)
    _say(table(reports), "", json_file)
    if beside:
        more = f" and {len(beside) - 5} more" if len(beside) > 5 else ""
        _say(f"not inspected, though the adapter holds it: {', '.join(beside[:5])}{more}", "doubt", json_file)
    if json_file:
        _write(json_file, to_json(reports))


@cli.command()
@click.argument("homework", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--reference", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="The same check file with its holes filled in.",
)  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="Hidden seeds per case.")
@click.option("--seed", type=click.IntRange(min=0), help="The first hidden seed.  [default: drawn at random]")
@click.option("--seconds", type=click.FloatRange(min=0.01), default=10, show_default=True, help="Limit of one call.")
@click.option("--megabytes", type=click.IntRange(min=512), default=4096, show_default=True, help="Limit of memory.")
@click.option("--json", "json_file", type=_output, metavar="FILE", help="Write JSON ('-': stdout).")
def grade(
    homework: Path, reference: Path, seeds: int, seed: int | None, seconds: float, megabytes: int, json_file: str | None
) -> None:
    """Grade a homework on hidden cases.

    The reference's claims are run with the student's functions in the holes. HOMEWORK runs in a process of its own.
    Exit code: 0 full marks; 1 less; 2 bad input.
    """
    from secrets import randbelow

    from lora_proofs.collect import CollectError
    from lora_proofs.homework import GradeError
    from lora_proofs.homework import grade as run

    _require_folders(json_file)
    if not isfinite(seconds):
        raise BadInput("--seconds must be a number")
    try:
        found = run(homework, reference, randbelow(10**6) if seed is None else seed, seeds, seconds, megabytes)
    except (GradeError, CollectError) as problem:
        raise BadInput(str(problem)) from None
    for line in found.lines():
        _say(line, "head" if line.startswith("score") else "", json_file)
    if json_file:
        _write(json_file, found.to_json())
    sys.exit(0 if found.score == len(found.claims) else 1)


@cli.command()
@click.option("--quick", is_flag=True, help="Small sizes, in a minute.")
@click.option(
    "--peer", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="PATH",
    help="A clone of the code of Zeng & Lee's authors, to be timed on the same networks.",
)  # fmt: skip
def bench(quick: bool, peer: Path | None) -> None:
    """Time the library beside its peers, taken in turn in one run, and print the ratios."""
    from lora_proofs.bench import compare, pairs, table, time_authors

    size = "quick" if quick else "full"
    try:
        with _bad_input():
            found = list(time_authors(peer, size)) if peer else []
            found += [compare(*pair[1:]) for pair in pairs(size)]
    except ImportError as problem:
        raise BadInput(str(problem)) from None
    _say(table(found), "", None)


@contextmanager
def _bad_input() -> Iterator[None]:
    """Turn the one clear line of a ValueError into bad input."""
    try:
        yield
    except ValueError as problem:
        raise BadInput(str(problem)) from None


@cli.command()
@click.argument("selectors", nargs=-1, metavar="[PATH|LABEL]...")
@click.option("--html", "folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Write the theorem index: index.html and a page a paper.")  # fmt: skip
@click.option("--latex", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write a table, and a bibliography beside it.")  # fmt: skip
@click.option("--from", "stored", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="Take the verdicts that check --json wrote, in place of checking now.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1), default=SEEDS, show_default=True, help="Seeds per case.")
@click.option(
    "-j", "--jobs", default=1, show_default=True, callback=_parse_jobs, metavar="N",
    help="Worker processes; -1 uses every core.",
)  # fmt: skip
def report(
    selectors: tuple[str, ...], folder: Path | None, latex: Path | None, stored: Path | None, seeds: int, jobs: int
) -> None:
    """Write what was found for readers.

    As web pages, or as a LaTeX table with a bibliography. The claims are checked first; see --from.
    """
    from lora_proofs.page import read_report, write_latex, write_pages
    from lora_proofs.plans import plan

    if not (folder or latex):
        raise BadInput("say what to write: --html DIR or --latex FILE")
    if str(latex) == "-":
        raise BadInput("--latex writes two files, FILE and its bibliography; give a name")
    _require_folders(str(latex) if latex else None)
    with _bad_input():
        selections = _collect(selectors, outlined=stored is not None)
        found = read_report(stored, selections) if stored else _run(plan(selections, seeds, 0), selections, jobs, None)
    try:
        if latex:
            _say(f"{latex}, {write_latex(latex, found)}", "", None)
        if folder:
            pages = write_pages(folder, found, _pictures({claim.claim.label for claim in found.claims}))
            _say(f"{pages[0]} and {len(pages) - 1} pages of papers", "", None)
    except OSError as problem:
        raise BadInput(f"cannot write {problem.filename}: {problem.strerror}") from None


def _pictures(labels: set[str]) -> list[Picture]:
    """Return the figures that are drawn and illustrate one of these claims; say what is missing."""
    from lora_proofs.gallery import scripts
    from lora_proofs.page import Picture

    found, missing = [], []
    for script in scripts():
        svg, caption = script.pictures[0], script.stored_caption
        if not svg.is_file() or caption is None:
            missing.append(script.name)
        elif set(script.claims) & labels:
            found.append(Picture(script.name, caption, svg.read_text("utf-8"), script.claims))
    if missing:
        _note(f"figures that are not drawn yet are left out (`lora-proofs figure --reuse-data`): {', '.join(missing)}")
    return found


@cli.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="Small grids, all figures in minutes; kept apart from the full data.")
@click.option("--reuse-data", is_flag=True, help="Draw from the data that is there, and compute nothing.")
@click.option("--check", "compare", is_flag=True, help="Compare with the published values.")
@click.option(
    "-j", "--jobs", default=1, show_default=True, callback=_parse_jobs, metavar="N",
    help="Worker processes; -1 uses every core.",
)  # fmt: skip
def figure(names: tuple[str, ...], quick: bool, reuse_data: bool, compare: bool, jobs: int) -> None:
    """Rebuild figures.

    NAME is a figure or a paper; without any, all of them are meant. Only what is stale is computed.

    Exit code: 1 a published curve, not recorded as an artefact, lies outside our band over seeds and its reading error
    (--check); 2 bad input; 130 interrupted; else 0.
    """
    from lora_proofs.gallery import FigureError, scripts

    try:
        found = scripts(names, quick)
        if not reuse_data:
            _compute_figures(found, jobs)
        for script in found:
            svg, _ = script.draw(_statements(script.claims))
            _say(f"{script.name}: {svg}", "", None)
        disagrees = compare and _compare_figures(found)
    except (FigureError, OSError) as problem:
        raise BadInput(str(problem)) from None
    sys.exit(1 if disagrees else 0)


def _compute_figures(found: list[FigureScript], jobs: int) -> None:
    from lora_proofs.gallery import rebuild
    from lora_proofs.sweep import cache_folder, versions

    stale = [script for script in found if script.stale]
    try:
        with _progress_bar(sum(len(script.cases) for script in stale), 0) as advance:
            for script in stale:
                rebuild(script, jobs, cache_folder(), versions(), advance)
    except KeyboardInterrupt:
        _note("interrupted: finished cases are kept; the same command goes on from there")
        sys.exit(INTERRUPTED)
    except ImportError as problem:
        raise BadInput(f"{problem}; README says what the figures need") from None


def _compare_figures(found: list[FigureScript]) -> bool:
    """Print how the published curves lie; tell whether one of them disagrees."""
    wrong = False
    for script in found:
        if not script.published():
            _say(f"{script.name}: nothing was published to compare with", "", None)
        for curve in script.compare():
            wrong |= not curve.agrees
            style = "good" if curve.inside == curve.points else "doubt" if curve.artefact else "bad"
            tail = f"; {curve.worst}" if curve.worst else ""
            tail += f" (recorded: {curve.artefact})" if curve.artefact and curve.worst else ""
            _say(f"{script.name} {curve.curve}: {curve.inside} of {curve.points} points agree{tail}", style, None)
    return wrong


def _statements(labels: Sequence[str]) -> dict[str, str]:
    return {c.label: c.statement for s in (_collect(labels) if labels else ()) for c in s.claims}


def _one_claim(selectors: Sequence[str]) -> Claim:
    claims = [claim for selection in _collect(selectors) for claim in selection.claims]
    if len(claims) != 1:
        raise BadInput(f"{' '.join(selectors)} names {len(claims)} claims; give the label of one: {claims[0].label}")
    if claims[0].missing:
        needs = "; ".join(f"{module}: {command}" for module, command in claims[0].missing)
        raise BadInput(f"{claims[0].label} needs {needs}")
    return claims[0]


def _search(claim: Claim, budget: int, seed: int) -> Search:
    from lora_proofs.falsify import falsify

    with _progress_bar(budget, 0) as advance:
        return falsify(claim, budget, seed, lambda search: advance(f"measured/bound = {_ratio(search)}"))


def _replay(claim: Claim, file: str) -> Search:
    from lora_proofs.falsify import Instance, Search, judge

    try:
        data = json.loads(Path(file).read_text("utf-8"))
        if data["claim"] != claim.label:
            raise BadInput(f"{file} holds an instance of {data['claim']}, not of {claim.label}")
        instance = Instance.from_json(data["instance"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BadInput(f"{file} is not what falsify --json writes: {problem}") from None
    search = Search(claim)
    search.record(judge(claim, instance))
    return search


_UNITS = {
    "<=": "",
    ">=": " (bound/measured: the claim is a lower bound)",
    "=": " (deviation in units of the tolerance)",
}


def _ratio(search: Search) -> str:
    worst = search.worst
    return "none" if worst is None or worst.ratio is None else f"{worst.ratio:.6g}"


def _describe_search(search: Search, selectors: list[str], file: str | None) -> Iterator[tuple[str, str]]:
    """Yield lines and styles for people."""
    from lora_proofs.report import describe

    worst = search.worst
    if worst is None:
        yield "no instance was judged", "doubt"
        return
    comparison = worst.verdict.comparison
    style = "bad" if search.exit_code else "good" if worst.ratio is not None else "doubt"
    yield f"measured/bound = {_ratio(search)}{_UNITS[comparison.relation] if comparison else ''}", style
    yield f"  {describe(worst.verdict)}{', its random numbers moved' if worst.instance.tape else ''}", ""
    total = search.tried
    counts = ", ".join(f"{outcome} {count}" for outcome, count in sorted(search.outcomes.items()))
    yield f"  instances {total}: {counts}{'; interrupted' if search.interrupted else ''}", ""
    for error, count in search.errors.most_common(1):
        yield f"  the check raised {sum(search.errors.values())} times, most often ({count}) {error}", "doubt"
    if search.claim.false_as_printed:
        yield f"  the claim is recorded as {search.claim.gap}", ""
    if not worst.instance.tape:
        yield f"  {worst.verdict.reproduce(shlex.join(selectors[:-1]))}", ""
    elif file and file != "-":
        yield f"  {shlex.join(['lora-proofs', 'falsify', *selectors, '--replay', file])}", ""
    else:
        yield "  --json FILE keeps the instance, and --replay FILE judges it again", ""


def _collect(selectors: Sequence[str], outlined: bool = False) -> list[Selection]:
    from lora_proofs.collect import CollectError, collect

    try:
        return collect(selectors, outlined=outlined)
    except CollectError as problem:
        raise BadInput(str(problem)) from None


def _require_parameters(selections: list[Selection], points: list[Params]) -> None:
    """Refuse --case where it names a parameter that no claim has, or fits no claim; say whom it leaves out."""
    claims = [claim for selection in selections for claim in selection.claims]
    grids = [[*claim.grid, *(p for control in claim.controls for p in control.grid)] for claim in claims]
    known = sorted({name for grid in grids for point in grid for name in point})
    for name in (name for point in points for name in point if name not in known):
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"
        raise BadInput(f"--case: no selected claim has a parameter {name!r}; {hint}")
    for point in points:
        if not any(point.keys() <= other.keys() for grid in grids for other in grid):
            raise BadInput(f"--case: no selected claim has all of the parameters {', '.join(point)}")
    fitting = sum(any(p.keys() <= q.keys() for p in points for q in grid) for grid in grids)
    if fitting < len(claims):
        _note(f"--case: {fitting} of {len(claims)} claims have these parameters; the others are left out")


def _number_of_cases(claim: Claim) -> int:
    return len(claim.grid) * len(claim.seeds(SEEDS))


def _describe(selection: Selection) -> dict[str, Any]:
    paper = selection.paper
    return {
        "key": paper.key,
        "title": paper.title,
        "authors": paper.authors,
        "year": paper.year,
        "arxiv": paper.arxiv,
        "claims": [
            {
                "label": claim.label,
                "kind": claim.kind,
                "number": claim.number,
                "statement": claim.statement,
                "cases": _number_of_cases(claim),
                "controls": [control.description for control in claim.controls],
                "gap": claim.gap,
            }
            for claim in selection.claims
        ],
    }


@contextmanager
def _progress_bar(total: int, done: int) -> Iterator[Callable[..., None]]:
    """Show a live bar on a terminal, and nothing where standard error is piped.

    What is yielded takes a label and how many units are done with it, one by default.
    """
    if not sys.stderr.isatty():
        yield lambda label, count=1: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=total, completed=done)
        shown, waiting = time.perf_counter(), 0

        def advance(label: str, count: int = 1) -> None:
            nonlocal shown, waiting
            waiting += count
            if (now := time.perf_counter()) - shown > 0.05:  # drawing takes longer than a small case
                progress.update(bar, advance=waiting, description=label)
                shown, waiting = now, 0

        yield advance
        progress.update(bar, advance=waiting)


def _require_folders(*files: str | None) -> None:
    """Refuse an output file that cannot be written now, not after the run."""
    for file in files:
        if not file or file == "-":
            continue
        folder = Path(file).absolute().parent
        if not folder.is_dir():
            raise BadInput(f"the folder of {file} does not exist")
        if not os.access(file if Path(file).exists() else folder, os.W_OK):
            raise BadInput(f"cannot write {file}: permission denied")


def _write(file: str, text: str | Iterable[str]) -> None:
    try:
        with click.open_file(file, "w", encoding="utf-8") as stream:
            stream.writelines([text] if isinstance(text, str) else text)
            stream.flush()
    except BrokenPipeError:
        _discard_output()
    except OSError as problem:
        raise BadInput(f"cannot write {file}: {problem.strerror}") from None


def _say(text: str, style: str, json_file: str | None) -> None:
    """Print for people: on standard output, unless that carries the JSON.

    Whoever closes it early, as ``head`` does, has read enough: files and exit code do not depend on it.
    """
    try:
        click.secho(text, err=json_file == "-", **_COLOURS[style])
    except BrokenPipeError:
        _discard_output()


def _discard_output() -> None:
    """Let nothing more be written to standard output, not even when Python closes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _note(text: str) -> None:
    click.echo(text, err=True)
