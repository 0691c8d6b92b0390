"""Figures: what makes them stale, what a killed run keeps, how they are held against published values."""

import json
import sys

import numpy as np
import pytest

from lora_proofs.presentation import figures
from lora_proofs.presentation.figures import Figure, FigureError
from lora_proofs.presentation.published import chance_outside

SOURCE = '''"""Title.

More.
"""
from shared import offset
CLAIMS = ("p:lemma-1",)
ARTEFACTS = {"a/odd": "a published artefact"}
def cases(quick):
    return [{"n": n} for n in ((1,) if quick else (1, 2))]
def compute(n):
    print_case(n)
    pairs = [(c, s) for c in ("even", "odd") for s in (0, 1, 2)]
    return [{"panel": "a", "curve": c, "seed": s, "x": n, "y": offset.OFFSET + n + s} for c, s in pairs]
def print_case(n):
    from pathlib import Path
    with (Path(__file__).parent / "log").open("a") as file:
        file.write(f"{n}")
    if (Path(__file__).parent / "broken").exists() and n == 2:
        raise KeyboardInterrupt
def plot(rows, published):
    from lora_proofs import plotting
    figure, axes = plotting.grid()
    plotting.band(axes[0, 0], plotting.points(rows, curve="even"), "even")
    plotting.published_marks(axes[0, 0], published)
    return figure
'''


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "data_folder", lambda name: tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    others = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "shared"}
    (tmp_path / "figure_a.py").write_text(SOURCE)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "__init__.py").touch()
    (tmp_path / "shared" / "offset.py").write_text("OFFSET = 0\n")
    yield Figure(tmp_path / "figure_a.py")
    for name in ("shared", "shared.offset"):
        sys.modules.pop(name, None)
    sys.modules.update(others)


def build(script, **options):
    figures.rebuild(script, 1, script.path.parent / "kept", {"python": "3"}, lambda name: None, print, **options)


def log(script):
    return (script.path.parent / "log").read_text()


def publish(script, text):
    folder = script.path.parent / "published"
    folder.mkdir(exist_ok=True)
    (folder / "figure_a.csv").write_text("panel,curve,x,y,reading_error\n" + text)


def test_shared_modules_are_no_figures(script):
    assert [s.name for s in figures.find_figures()] == ["figure_a"]
    assert figures.find_figures(["figure"]) == figures.find_figures(["figure_a"])
    with pytest.raises(FigureError, match="no figure is called 'figur'"):
        figures.find_figures(["figur"])


def test_computes_draws_and_describes(script):
    assert script.stale
    with pytest.raises(FigureError, match="no data"):
        script.rows()
    build(script)
    assert not script.stale
    rows = script.rows()
    assert len(rows) == 12
    assert rows[0] == {"panel": "a", "curve": "even", "seed": "0", "x": 1.0, "y": 1.0}
    first = [path.read_bytes() for path in script.draw({"p:lemma-1": "A statement.\nDetails."})]
    assert first == [path.read_bytes() for path in script.draw({"p:lemma-1": "A statement."})]
    caption = json.loads(script.data.with_suffix(".json").read_text())["caption"]
    assert caption == "Title. More. Median and range over 3 seeds. p:lemma-1: A statement."
    with pytest.raises(FigureError, match="no paper has"):
        script.draw({})


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("figure_a.py", "+ n + s", "+ n - s", True),
        ("figure_a.py", "(1, 2))", "(1, 3))", True),
        ("shared/offset.py", "0", "1", True),
        ("figure_a.py", '"Title', '"Another title', False),
        ("figure_a.py", '"even")\n', '"something else")\n', False),
        ("figure_a.py", "a published artefact", "another", False),
    ],
)
def test_stale_when_what_computes_changes(script, file, old, new, stale):
    build(script)
    path = script.path.parent / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert Figure(script.path).stale is stale


def test_stale_when_the_data_was_edited(script):
    build(script)
    script.data.write_text(script.data.read_text().replace("4", "5"))
    assert script.stale


def test_an_interrupted_run_repeats_no_case(script):
    broken = script.path.parent / "broken"
    broken.touch()
    with pytest.raises(KeyboardInterrupt):
        build(script)
    assert script.stale
    broken.unlink()
    build(Figure(script.path))
    assert log(script) == "122"
    assert not list((script.path.parent / "kept").iterdir())


def test_quick_data_is_kept_apart(script):
    quick = Figure(script.path, quick=True)
    build(quick)
    assert len(quick.rows()) == 6
    assert script.stale
    assert quick.data.parent.name == "quick"


def test_compares_with_the_published_values(script):
    build(script)
    publish(script, "a,even,1,2.5,0.01\na,even,2,4.6,0.5\na,even,3,1,0.1\na,odd,1,9,0.1\n")
    even, odd = script.compare()
    assert (even.inside, even.points, even.agrees) == (1, 3, False)
    assert "not computed" in even.worst
    assert (odd.inside, odd.points, odd.agrees, odd.artefact) == (0, 1, True, "a published artefact")
    publish(script, "a,even,1,3.6,0.5\na,even,2,4.8,0.7\n")  # beyond the bands, 1 to 3 and 2 to 4
    assert [d.inside for d in script.compare()] == [0]
    publish(script, "a,even,1,3,0.0001\na,even,2,4.6,1.7\n")
    assert [(d.inside, d.agrees) for d in script.compare()] == [(2, True)]


@pytest.mark.parametrize(("points", "seeds"), [(16, 5), (7, 5), (16, 2), (1, 5)])
def test_how_many_points_lie_outside_by_chance(points, seeds):
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((20_000, points, seeds)), np.median(rng.random((20_000, points, 5)), axis=2)
    outside = np.sum((theirs < ours.min(axis=2)) | (theirs > ours.max(axis=2)), axis=1)
    allowed = chance_outside(points, seeds)
    assert np.mean(outside <= allowed) > 0.988
    assert np.mean(outside <= allowed - 1) < 0.992


def test_only_a_curve_trained_anew_may_lie_outside_by_chance(script):
    build(script)
    publish(script, "a,even,1,3.5,0.01\na,even,2,4.6,0.01\na,even,3,1,0.1\n")
    assert [d.allowed for d in script.compare()] == [0]
    script.path.write_text(script.path.read_text() + '\nRETRAINED = ("even",)\n')
    assert [d.allowed for d in Figure(script.path).compare()] == [0]  # a point was not computed
    publish(script, "a,even,1,3.5,0.01\na,even,2,2,0.01\n")
    assert [(d.allowed, d.agrees) for d in Figure(script.path).compare()] == [(chance_outside(2, 3), True)]


def test_points_outside_a_quick_run_do_not_count(script):
    quick = Figure(script.path, quick=True)
    build(quick)
    publish(script, "a,even,1,2,0.01\na,even,2,100,0.5\n")
    assert [(d.inside, d.points) for d in quick.compare()] == [(1, 1)]


def test_rows_must_be_tidy(script):
    script.path.write_text(SOURCE.replace('"seed": s, ', ""))
    with pytest.raises(FigureError, match="seed"):
        build(Figure(script.path))
