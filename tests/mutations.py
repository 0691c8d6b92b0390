"""What `tests.mutants` changes in a module: comparisons, arithmetic, constants, guards, extrema, results.

Texts for people (docstrings, messages, annotations) are left alone.
"""

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
OPERATORS |= {ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.MatMult: ast.Add}
OPPOSITES = {"min": "max", "minimum": "maximum", "any": "all", "floor": "ceil", "lower": "upper"}
OPPOSITES |= {there: here for here, there in OPPOSITES.items()}
NUMBERS = {"float", "int", "Fraction", "Array", "Any", "Exact", "Rational", "arb", "fmpq", "ndarray", "FloatArray"}

PLAIN = {
    "float",
    "int",
    "bool",
    "str",
    "list",
    "tuple",
    "set",
    "dict",
    "zip",
    "enumerate",
    "range",
    "arb",
}  # conversions
UNREAD = ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom
UNREAD_FIELDS = {"annotation", "returns", "decorator_list", "exc"}
UNREAD_CALLS = {"warn", "isinstance", "cast", "TypeVar", "NewType", "default_rng"}
UNREAD_KEYWORDS = {"strict", "stacklevel", "category", "repr", "kw_only", "check_finite"}


@dataclass
class Mutant:
    """One change of a tree: `owner.field`, or its entry `index`, becomes `new`."""

    lines: range  # empty outside of functions: every test may notice
    owner: ast.AST
    field: str
    index: int | None
    new: ast.AST
    name: str = ""

    def apply(self) -> ast.AST:
        """Change the tree in place, and return what was there."""
        if self.index is None:
            old = getattr(self.owner, self.field)
            setattr(self.owner, self.field, self.new)
        else:
            entries = getattr(self.owner, self.field)
            old, entries[self.index] = entries[self.index], self.new
        return old

    def text(self, statement: ast.stmt) -> str:
        """Return what is changed, and into what, as source: what stands around it, if that is an expression."""
        old = self.apply()
        around = self.owner if isinstance(self.owner, ast.expr) else None if isinstance(old, ast.stmt) else statement
        around = None if around and len(_source(around)) > 120 else around
        after = _source(around or self.new)
        Mutant(self.lines, self.owner, self.field, self.index, old).apply()
        return f"{_source(around or old)} => {after}"


def mutants(tree: ast.Module) -> list[Mutant]:
    """Return every change of a module that is tried, each with a name that does not depend on its line."""
    found = list(_below(tree, "", "", tree.body[0]))
    seen: Counter[str] = Counter()
    for mutant in found:
        seen[mutant.name] += 1
        mutant.name += f" (no. {seen[mutant.name]})" if seen[mutant.name] > 1 else ""
    return found


def sample(found: list[Mutant], size: int) -> list[Mutant]:
    """Return `size` of the mutants, the same as long as they are there: one a place, then second ones."""
    order = sorted(found, key=lambda mutant: hashlib.sha256(mutant.name.encode()).digest())
    first = {(id(mutant.owner), mutant.field, mutant.index): mutant for mutant in reversed(order)}
    drawn = [m for m in order if m in first.values()] + [m for m in order if m not in first.values()]
    chosen = {id(mutant) for mutant in drawn[:size]}
    return [mutant for mutant in found if id(mutant) in chosen]


def _below(node: ast.AST, place: str, returns: str, statement: ast.stmt, running: bool = False) -> Iterator[Mutant]:
    """Yield the mutants below a node, in the class or function `place`, which runs and `returns` a number or not."""
    for field, value in ast.iter_fields(node):
        if field in UNREAD_FIELDS:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _unread(child):
                continue
            at = child if isinstance(child, ast.stmt) else statement
            last = at.body[0].lineno - 1 if hasattr(at, "body") else at.end_lineno or at.lineno
            lines = range(at.lineno, max(last, at.lineno) + 1) if running else range(0)
            for new in _instead(child, node, field, returns):
                mutant = Mutant(lines, node, field, index, _at(new, child))
                mutant.name = f"{place or '(module)'}: {mutant.text(at)}"
                yield mutant
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inside = f"{place}.{child.name}".lstrip(".")
                kind = ast.unparse(child.returns) if isinstance(child, ast.FunctionDef) and child.returns else ""
                body = ast.Module(child.body, [])
                yield from _below(
                    body, inside, kind.split("[")[0].split(".")[-1], at, isinstance(child, ast.FunctionDef)
                )
                rest = [child.args] if isinstance(child, ast.FunctionDef) else []
                yield from (m for part in rest for m in _below(part, inside, "", at))
            elif _number(child) is None:
                yield from _below(child, place, returns, at, running)


def _number(node: ast.AST) -> int | float | None:
    """Return the value of an expression of numbers alone, or None."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand) if (value := _number(operand)) is not None:
            return -value
        case ast.BinOp(left=left, right=right) if _number(left) is not None and _number(right) is not None:
            return eval(ast.unparse(node), {})
    return None


def _at(new: ast.AST, old: ast.AST) -> ast.AST:
    return ast.fix_missing_locations(new if hasattr(new, "lineno") else ast.copy_location(new, old))


def _unread(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in UNREAD_CALLS
        case ast.keyword(arg=name):
            return name in UNREAD_KEYWORDS
    return isinstance(node, UNREAD)


def _instead(node: ast.AST, owner: ast.AST, field: str, returns: str) -> Iterator[ast.AST]:
    """Yield what a node is replaced by."""
    if field in {"test", "ifs"} and isinstance(owner, ast.If | ast.IfExp | ast.comprehension):
        yield ast.Constant(field == "ifs")
    if (value := _number(node)) is not None:
        if value == -1 and isinstance(owner, ast.Call) and getattr(owner.func, "attr", "") == "reshape":
            return  # any negative number there means what is left
        larger = 1000 * value if 0 < abs(value) < 1e-3 else 2 * value  # a tolerance doubled is a tolerance
        sign = [] if _is_place(owner, field) else [-value]
        yield from (ast.Constant(new) for new in dict.fromkeys([larger, value + 1, 0 * value, *sign]) if new != value)
        return
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Compare(ops=[op], left=left, comparators=right):
            for new in COMPARISONS[type(op)]:
                yield ast.Compare(left, [new()], right)
        case ast.Compare(ops=[*before, op], left=left, comparators=right):
            yield ast.Compare(left, [*before, COMPARISONS[type(op)][0]()], right)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS and not _text(left) and not _text(right):
            yield ast.BinOp(left, OPERATORS[type(op)](), right)
            yield left
            if isinstance(op, ast.Add | ast.Mult):
                yield right
        case ast.AugAssign(target=target, op=op, value=value) if type(op) in OPERATORS:
            yield ast.AugAssign(target, OPERATORS[type(op)](), value)
            yield ast.Pass()
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            for out in values:
                kept = [v for v in values if v is not out]
                yield kept[0] if len(kept) == 1 else ast.BoolOp(op, kept)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Call(func=called, args=arguments, keywords=keywords):
            attribute = "id" if isinstance(called, ast.Name) else "attr"
            name = getattr(called, attribute, "")
            unclear = ast.Starred | ast.GeneratorExp
            if arguments and name not in PLAIN and not _text(arguments[0]) and not isinstance(arguments[0], unclear):
                yield arguments[0]
            if name in OPPOSITES:
                setattr(other := deepcopy(called), attribute, OPPOSITES[name])
                yield ast.Call(other, arguments, keywords)
        case ast.Return(value=ast.expr() as value) if returns in NUMBERS:
            yield ast.Return(ast.BinOp(ast.Constant(1000), ast.Mult(), value))
            yield ast.Return(ast.BinOp(ast.Constant(0), ast.Mult(), value))
        case ast.Return(value=ast.expr() as value) if returns == "bool":
            yield ast.Return(ast.UnaryOp(ast.Not(), value))
        case ast.Raise() if not (isinstance(owner, ast.If) and field == "body"):  # else the guard is what is removed
            yield ast.Pass()


def _is_place(owner: ast.AST, field: str) -> bool:
    """Tell whether a number is an index or an axis: the last but one of two is the first, and so on."""
    return field == "slice" or isinstance(owner, ast.Slice) or (isinstance(owner, ast.keyword) and owner.arg == "axis")


def _text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _source(node: ast.AST) -> str:
    """Return the source of an expression or of the head of a statement, on one line."""
    if isinstance(node, ast.Raise):
        return "raise " + (ast.unparse(node.exc).split("(")[0] if node.exc else "")
    if isinstance(node, ast.stmt) and hasattr(node, "body"):
        head = ast.unparse(node)
        return head.split(":\n")[0].replace("\n", " ")
    return " ".join(ast.unparse(node).split())
