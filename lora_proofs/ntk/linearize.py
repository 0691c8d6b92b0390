r"""Per-example gradients of a network's outputs in its weight matrices, by JAX, factored where a weight acts linearly.

If W enters only through products y_t = W x_t (or x_t^T W) with the tokens t of an example, whatever happens around
them, then dz/dW = sum_t delta_t x_t^T with delta_t = dz/dy_t. These products are found in the traced program of the
network: an offset epsilon_t = 0 is added to each of them, and delta_t is the derivative in it. Nothing of size m x n
is formed. A weight that is used in any other way gets its gradient written out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from lora_proofs.backends import how_to_install
from lora_proofs.linalg import check_matrix
from lora_proofs.ntk.gradients import FactoredGradients
from lora_proofs.ntk.inputs import real_array
from lora_proofs.ntk.types import FloatArray


class Linearization(NamedTuple):
    """The network f(W0) + <G, delta> that stands for f(W0 + delta): the first arguments of `LinearizedProblem`.

    Attributes
    ----------
    gradients : list of FactoredGradients or arrays (N, K, m, n)
        One a weight matrix.
    offsets : array (N, K)
        The outputs f(W0).
    """

    gradients: list[FactoredGradients | FloatArray]
    offsets: FloatArray


def linearize(f: Callable[[Any, Any], Any], weights: Any, inputs: Any) -> Linearization:
    """Return the outputs of a network and their gradients in some of its weights, one example at a time.

    The derivatives are taken in float64, whatever the dtype of the weights. The problem of the paper
    (arXiv 2402.11867v3) is then ``LinearizedProblem(*linearize(f, weights, inputs), labels, loss, lam)``.

    Parameters
    ----------
    f : callable
        ``f(weights, x)`` -> the K outputs for one example x, shape (K,) or, for K = 1, (); written with ``jax.numpy``.
        What stays frozen is closed over.
    weights : array (m, n), or a list, dict, or other pytree of these
        Where to linearise; the blocks come in the order of ``jax.tree.leaves``.
    inputs : array (N, ...), or a pytree of these
        The examples, along the first axis.

    Returns
    -------
    Linearization
        A block is `FactoredGradients` if the weight enters only through products with the example's tokens, all from
        the same side; else an array (N, K, m, n).

    Raises
    ------
    ValueError
        If a weight is not a finite matrix, there are no examples, or f does not return a vector of K numbers.
    ModuleNotFoundError
        If JAX is not installed.

    Examples
    --------
    >>> gradients, offsets = linearize(lambda W, x: W @ x, np.eye(2), np.array([[1.0, 2.0]]))
    >>> offsets
    array([[1., 2.]])
    >>> gradients[0].right_factors[0, 0].ravel()
    array([1., 2.])
    """
    try:
        import jax
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"ntk.linearize needs JAX; in a clone: {how_to_install('jax')}", name="jax") from None

    if not callable(f):
        raise TypeError(f"f is a {type(f).__name__}; pass a function f(weights, x) of one example x")
    leaves, structure = jax.tree.flatten(weights)
    leaves = [check_matrix(f"weights[{t}]", real_array(f"weights[{t}]", W)) for t, W in enumerate(leaves)]
    if not leaves:
        raise ValueError("weights is empty; pass at least one matrix to linearise in")
    for x in jax.tree.leaves(inputs):
        _check_input(x)
    sizes = {np.shape(x)[:1] for x in jax.tree.leaves(inputs)}
    if len(sizes) != 1 or sizes & {(), (0,)}:
        raise ValueError("inputs must be arrays with the same first axis, of length N >= 1: one entry an example")

    with jax.enable_x64(True):
        inputs = jax.tree.map(np.asarray, inputs)
        one = jax.tree.map(lambda x: x[0], inputs)
        program = jax.make_jaxpr(lambda leaves, x: f(jax.tree.unflatten(structure, leaves), x))(leaves, one)
        shapes = [out.shape for out in program.out_avals]
        if len(shapes) != 1 or len(shapes[0]) > 1 or 0 in shapes[0]:
            raise ValueError(f"f returns arrays of shapes {shapes}; return the K outputs of one example, shape (K,)")

        survey = _Taps(len(leaves))
        jax.eval_shape(lambda leaves, x: survey.run(program, leaves, x), leaves, one)
        factored = survey.factored()
        epsilons = [np.zeros(product.shape, product.dtype) for product in survey.products]
        written_out = {t: W for t, W in enumerate(leaves) if t not in factored}

        def outputs(epsilons: list[Any], written_out: dict[int, Any], example: Any) -> Any:
            taps = _Taps(len(leaves), epsilons)
            results = taps.run(program, [written_out.get(t, W) for t, W in enumerate(leaves)], example).reshape(-1)
            return results, (results, [product.tokens for product in taps.products])

        jacobian = jax.jit(jax.vmap(jax.jacrev(outputs, argnums=(0, 1), has_aux=True), in_axes=(None, None, 0)))
        (cotangents, dense), (z, tokens) = jacobian(epsilons, written_out, inputs)

    blocks: dict[int, FactoredGradients | FloatArray] = {t: _array(gradient) for t, gradient in dense.items()}
    uses = list(zip(survey.products, map(_array, cotangents), map(_array, tokens), strict=True))
    for t in factored:
        parts = [product.factors(delta, x) for product, delta, x in uses if product.weight == t]
        left, right = (np.concatenate(side, axis=-1) for side in zip(*parts, strict=True))
        blocks[t] = FactoredGradients(left, right)
    return Linearization([blocks[t] for t in range(len(leaves))], _array(z))


def _check_input(values: Any) -> None:
    """Raise ValueError unless values is an array of numbers, bools included, all finite."""
    kind = np.asarray(values).dtype.kind
    if kind not in "biufV" or (kind == "f" and not np.isfinite(values).all()):
        raise ValueError("inputs contain NaN, infinity or something that is no real number; pass arrays of numbers")


def _array(values: Any) -> FloatArray:
    return np.asarray(values, dtype=np.float64)


class _Weight(NamedTuple):
    """A value in a traced program that is a weight, or the transpose of one."""

    number: int
    transposed: bool


_Weights: TypeAlias = dict[int, _Weight]
"""Which of some values are weights, by position."""


@dataclass(frozen=True)
class _Product:
    """One product of a weight with tokens.

    Attributes
    ----------
    weight : int
        Which one.
    axis : int
        The axis of the weight that is summed over: 1 for W x, 0 for x^T W.
    first : bool
        Whether the weight's own axis comes first in the result, before those of the tokens.
    shape, dtype
        Of the result.
    tokens : array
        The other factor, the summed axis last.
    """

    weight: int
    axis: int
    first: bool
    shape: tuple[int, ...]
    dtype: Any
    tokens: Any

    def factors(self, cotangents: FloatArray, tokens: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return left (N, K or 1, m, t) and right (N, K or 1, n, t) factors of the gradient."""
        N, K = cotangents.shape[:2]
        delta = np.moveaxis(cotangents, 2, -1) if self.first else cotangents
        delta = delta.reshape(N, K, -1, delta.shape[-1]).swapaxes(2, 3)
        x = tokens.reshape(N, 1, -1, tokens.shape[-1]).swapaxes(2, 3)
        return (delta, x) if self.axis == 1 else (x, delta)


@dataclass
class _Taps:
    """Evaluates a traced program, and finds the products with the weights on the way.

    Attributes
    ----------
    count : int
        The number of weights: the first arguments of the program.
    epsilons : sequence of arrays, optional
        What to add to each product.
    products : list of _Product
    used_otherwise : set of int
        The weights that enter in another way.
    """

    count: int
    epsilons: Sequence[Any] | None = None
    products: list[_Product] = field(default_factory=list)
    used_otherwise: set[int] = field(default_factory=set)

    def run(self, program: Any, leaves: Sequence[Any], example: Any) -> Any:
        """Return the single output of the program at these weights and this example."""
        import jax

        weights = {i: _Weight(i, False) for i in range(self.count)}
        (out,), returned = self._evaluate(program, [*leaves, *jax.tree.leaves(example)], weights)
        self.used_otherwise.update(weight.number for weight in returned.values())
        return out

    def factored(self) -> list[int]:
        """Return the weights whose every use is a product from one and the same side."""
        sides = [{product.axis for product in self.products if product.weight == t} for t in range(self.count)]
        return [t for t, side in enumerate(sides) if len(side) == 1 and t not in self.used_otherwise]

    def _evaluate(self, program: Any, arguments: Sequence[Any], weights: _Weights) -> tuple[list[Any], _Weights]:
        """Return the results of a program, and which of them are weights, given which arguments are."""
        jaxpr = program.jaxpr
        value = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*program.consts, *arguments], strict=True))
        weight = {jaxpr.invars[i]: w for i, w in weights.items()}

        def is_literal(atom: Any) -> bool:
            return hasattr(atom, "val")

        def read(atoms: Sequence[Any]) -> tuple[list[Any], _Weights]:
            values = [atom.val if is_literal(atom) else value[atom] for atom in atoms]
            return values, {i: weight[a] for i, a in enumerate(atoms) if not is_literal(a) and a in weight}

        for equation in jaxpr.eqns:
            results, found = self._step(equation, *read(equation.invars))
            value.update(zip(equation.outvars, results, strict=True))
            weight.update({equation.outvars[i]: w for i, w in found.items()})
        return read(jaxpr.outvars)

    def _step(self, equation: Any, operands: list[Any], weights: _Weights) -> tuple[list[Any], _Weights]:
        """Return the results of one equation, and which of them are weights."""
        name, parameters = equation.primitive.name, equation.params
        if weights and name in ("jit", "pjit"):
            return self._evaluate(parameters["jaxpr"], operands, weights)
        results = _apply(equation, operands)
        if weights and name == "transpose":
            (weight,) = weights.values()
            return results, {0: _Weight(weight.number, weight.transposed ^ (parameters["permutation"] == (1, 0)))}
        if len(weights) == 1 and name == "dot_general":
            ((place, weight),) = weights.items()
            contracted, (batch, _) = parameters["dimension_numbers"]
            if not batch and len(contracted[0]) == 1:
                return [self._tap(results[0], operands, place, weight, contracted)], {}
        self.used_otherwise.update(weight.number for weight in weights.values())
        return results, {}

    def _tap(self, out: Any, operands: list[Any], place: int, weight: _Weight, contracted: Any) -> Any:
        from jax.numpy import moveaxis

        if self.epsilons is not None:
            out = out + self.epsilons[len(self.products)]
        tokens = moveaxis(operands[1 - place], contracted[1 - place][0], -1)
        axis = contracted[place][0] ^ weight.transposed
        self.products.append(_Product(weight.number, axis, place == 0, out.shape, out.dtype, tokens))
        return out


def _apply(eqn: Any, operands: list[Any]) -> list[Any]:
    """Evaluate one equation of a traced program, as JAX's own ``eval_jaxpr`` does."""
    results = eqn.primitive.bind(*operands, **eqn.primitive.get_bind_params(eqn.params))
    return list(results) if eqn.primitive.multiple_results else [results]
