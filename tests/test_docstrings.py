"""Every public name explains itself by an example, and all examples run."""

import doctest
import inspect
import re
import shlex
from functools import cache
from importlib import import_module
from pathlib import Path

import click
import pytest

from lora_proofs.cli import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lora_proofs"

FACES = ("adapters", "claims", "constructions", "domains", "exact", "falsify", "instances", "linalg", "networks", "ntk",
         "ntk.traps", "precision", "pretrained", "verify")  # fmt: skip
PROMISED = (
    "Adapter", "Ball", "Box", "Case", "Paper", "ReluNetwork", "TransformerBlock", "TransformerNetwork", "at_least",
    "at_most", "equal", "required_rank", "verify", "adapters.load_peft", "adapters.save_peft",
    "constructions.adapt_linear_chain", "constructions.adapt_relu_network", "constructions.adapt_transformer",
    "constructions.Certificate", "constructions.certify_relu_network", "exact.adapt_linear_chain",
    "exact.adapt_relu_network", "ntk.LinearizedProblem", "ntk.certify", "ntk.linearize",
    "ntk.reduce_rank", "ntk.second_order", "ntk.solve", "ntk.thresholds", "tools.planner.plan",
)  # fmt: skip
"""The names on which scripts rely."""

WAITING = ("constructions", "exact", "falsify", "networks", "ntk", "pretrained")
"""The homes of functions, none of them promised, that still lack an example."""

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text("utf-8") and "exercises" not in path.parts
)


def resolve(name):
    module, _, attribute = f"lora_proofs.{name}".rpartition(".")
    return getattr(import_module(module), attribute)


def names(face):
    module = import_module(f"lora_proofs.{face}")
    here = [name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
    return [f"{face}.{name}" for name in getattr(module, "__all__", here) if not name.startswith("_")]


@cache
def public():
    """Return the functions of the faces and what is promised, by the names by which scripts call them."""
    functions = {name for face in FACES for name in names(face) if inspect.isfunction(resolve(name))}
    return {name: resolve(name) for name in {*functions, *PROMISED}}


def needed(name):
    """Return the optional packages that a module's examples use."""
    if name == "lora_proofs.adapters.peft_folder":
        return ("safetensors",)
    return ("jax",) if name.startswith(("lora_proofs.training", "lora_proofs.ntk.linearize")) else ()


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.needs(*needed(name))) for name in MODULES])
def test_examples_run(name):
    module = import_module(name)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testmod(module, optionflags=options)
    assert tried
    assert not failed


def test_public_names_have_an_example():
    lacking = {name for name, thing in public().items() if ">>> " not in (inspect.getdoc(thing) or "")}
    assert lacking & {*PROMISED} == set()
    assert {name for name in lacking if public()[name].__module__.split(".")[1] not in WAITING} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_show_an_example(name):
    command = cli.get_command(click.Context(cli), name)
    context = click.Context(command, info_name=f"lora-proofs {name}")
    (example,) = re.findall(rf"^\s+Example: lora-proofs {name}\b(.*)$", command.get_help(context), re.MULTILINE)
    _, extra, _ = command.make_parser(context).parse_args(shlex.split(example))
    assert not extra
