r"""Fine-tuning a linearised network: risk of f_W0 + <G, delta> plus lam times the nuclear norm of delta.

With per-example gradients G_ik of the outputs in the weights, LoRA training of a linearised network minimises

    L(u, v) = (1/N) sum_i loss(f_i + <G_i, u v^T>, y_i) + (lam/2) (|u|_F^2 + |v|_F^2)

and full fine-tuning the convex function of delta = u v^T with lam |delta|_* in place of the squares, whose minimum is
the same as soon as the rank suffices, by the variational form of the nuclear norm (Jang, Lee & Ryu, arXiv 2402.11867v3;
lemma recalled, its number not compared with the PDF). With several weight blocks, every block has its own delta_t, u_t,
v_t, and the norms add up.
"""

from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj

from lora_proofs.linalg import namespace, spectral_norm
from lora_proofs.ntk.gradients import Gradients, as_gradients
from lora_proofs.ntk.inputs import real_array, real_number
from lora_proofs.ntk.losses import make_loss
from lora_proofs.ntk.types import Blocks, FloatArray


def as_blocks(given: Any, name: str = "x") -> Blocks:
    """Return a list of NumPy arrays in float64, one a block: a plain array of any library is the only block."""
    if isinstance(given, list | tuple) and not is_array_api_obj(given):
        return [real_array(f"{name}[{t}]", block) for t, block in enumerate(given)]
    return [real_array(f"{name}[0]", given, "pass a list of matrices, one a block, or a matrix if there is one block")]


def check_problem(problem: Any) -> None:
    """Raise TypeError unless this is a `LinearizedProblem`."""
    if not isinstance(problem, LinearizedProblem):
        raise TypeError(f"problem is a {type(problem).__name__}; pass a ntk.LinearizedProblem")


def is_floating(value: Any) -> bool:
    """Tell whether value is an array of real floating numbers, of any library."""
    return is_array_api_obj(value) and bool(namespace(value).isdtype(value.dtype, "real floating"))


class LinearizedProblem:
    """The linearised fine-tuning problem, seen through d canonical rows w = w0 + A(delta).

    Gradients, offsets, labels and factors may be arrays of any array-API library, dtype and device. They are converted
    once, and everything is computed in NumPy on the host in float64, where the partial factorisations and the interval
    certificates are; what `solve`, `reduce_rank` and `second_order` return is converted back.

    Parameters
    ----------
    gradients : array (N, K, m, n), FactoredGradients, operator, or a list of these
        d f_k(x_i) / d W, one item of the list a weight block. An operator has ``shape`` (N, K, m, n),
        ``apply(delta)`` -> (N, K) and ``adjoint(c)`` -> (m, n).
    offsets : array (N, K)
        Outputs f_W0(x_i) of the frozen network; (N,) if K = 1.
    labels : array
        Squared loss: targets (N, K), or (N,) if K = 1. Logistic: +1 and -1, shape (N,), K = 1. Cross-entropy: class
        numbers 0, ..., K-1, shape (N,).
    loss : {"squared", "logistic", "cross_entropy"}
        The squared loss is half the squared norm; see `losses`.
    lam : float
        Weight >= 0 of the nuclear norm.

    Attributes
    ----------
    N, K, d : int
        Data, outputs, canonical rows (NK for squared, N for logistic, (K-1)N for cross-entropy).
    shapes : list of (m_t, n_t)
    loss : str
    lam : float
    offsets : array (N, K)
    w0 : array (d,)
        The rows at delta = 0.
    pattern : array or None
        An empty array of the library, dtype and device in which the gradients were given, if they are such arrays.

    Raises
    ------
    ValueError
        If shapes disagree, something is NaN or infinite, N = 0, a label is out of range, or lam < 0.

    Examples
    --------
    >>> problem = LinearizedProblem(np.ones((1, 1, 2, 3)), [[0.0]], [[1.0]], "squared", 0.1)
    >>> problem.objective(np.zeros((2, 1)), np.zeros((3, 1)))
    0.5
    """

    def __init__(self, gradients: Any, offsets: Any, labels: Any, loss: str, lam: float) -> None:
        items = gradients if isinstance(gradients, list | tuple) else [gradients]
        if not items:
            raise ValueError("gradients is an empty list; pass one array (N, K, m, n) a weight block")
        names = ["gradients"] if len(items) == 1 else [f"gradients[{t}]" for t in range(len(items))]
        self.blocks: list[Gradients] = [as_gradients(name, x) for name, x in zip(names, items, strict=True)]
        self.N, self.K = self.blocks[0].shape[:2]
        for name, block in zip(names, self.blocks, strict=True):
            if block.shape[:2] != (self.N, self.K):
                raise ValueError(
                    f"{name} has N, K = {block.shape[:2]} and {names[0]} has {(self.N, self.K)}; "
                    "all blocks belong to the same data and outputs"
                )
        self.shapes = [block.shape[2:] for block in self.blocks]
        self.pattern = next((item[:0, ...] for item in items if is_floating(item)), None)
        f = real_array("offsets", offsets, f"pass the outputs f_W0, shape ({self.N}, {self.K})")
        if f.shape != (self.N, self.K) and not (self.K == 1 and f.shape == (self.N,)):
            raise ValueError(f"offsets have shape {f.shape}; pass the outputs f_W0, shape ({self.N}, {self.K})")
        self.lam = real_number("lam", lam, "pass a finite number >= 0")
        if self.lam < 0:
            raise ValueError(f"lam is {lam!r}; pass a finite number >= 0")
        self.loss = loss
        self.canonical_loss = make_loss(loss, real_array("labels", labels), self.N, self.K)
        self.d = self.canonical_loss.d
        self.offsets: FloatArray = f.reshape(self.N, self.K)
        self.w0: FloatArray = self.canonical_loss.affine_rows(self.offsets)

    def with_blocks(self, blocks: list[Gradients]) -> "LinearizedProblem":
        """Return the problem with other blocks of gradients for the same data, outputs and labels."""
        other = copy(self)
        other.blocks = blocks
        other.shapes = [block.shape[2:] for block in blocks]
        for name in ("lam_max", "row_sizes"):
            other.__dict__.pop(name, None)
        return other

    def apply(self, deltas: Any) -> FloatArray:
        """Return A(delta), shape (d,), for a list of (m_t, n_t) matrices."""
        deltas = self._check("delta", as_blocks(deltas, "delta"), self.shapes)
        return self._canonical([block.apply(delta) for block, delta in zip(self.blocks, deltas, strict=True)])

    def apply_factors(self, u: Any, v: Any) -> FloatArray:
        """Return A(u v^T), shape (d,), for lists of (m_t, r_t) and (n_t, r_t) factors."""
        u, v = self.check_factors(u, v)
        return self._canonical([block.apply_factors(*uv) for block, *uv in zip(self.blocks, u, v, strict=True)])

    def rows(self, u: Any, v: Any) -> FloatArray:
        """Return w = w0 + A(u v^T), shape (d,)."""
        return self.w0 + self.apply_factors(u, v)

    def adjoint(self, dual: FloatArray) -> Blocks:
        """Return S_t = (1/N) sum_k q_k G_k^(t), one (m_t, n_t) matrix a block, for dual (d,)."""
        weights = self.canonical_loss.adjoint(np.asarray(dual, dtype=float)) / self.N
        return [block.adjoint(weights) for block in self.blocks]

    def risk(self, rows: FloatArray) -> float:
        """Return (1/N) sum phi(rows)."""
        return self.canonical_loss.value(rows) / self.N

    def derivative(self, rows: FloatArray) -> FloatArray:
        """Return phi'(rows), shape (d,). The gradient of the risk in delta is ``adjoint(derivative(rows))``."""
        return self.canonical_loss.derivative(rows)

    def hessian_vector(self, rows: FloatArray, direction: FloatArray) -> FloatArray:
        """Return phi''(rows) direction, for direction of shape (d,) or (d, ...)."""
        return self.canonical_loss.hessian_vector(rows, direction)

    def conjugate(self, dual: FloatArray) -> float:
        """Return (1/N) sum phi*(dual), inf outside the domain of phi*."""
        return self.canonical_loss.conjugate(dual) / self.N

    def objective(self, u: Any, v: Any) -> float:
        """Return the LoRA objective: the risk plus (lam/2) (|u|_F^2 + |v|_F^2)."""
        u, v = self.check_factors(u, v)
        return self.risk(self.rows(u, v)) + self.lam / 2 * sum(float(np.vdot(x, x)) for x in (*u, *v))

    @cached_property
    def lam_max(self) -> float:
        """The smallest lam at which delta = 0 is optimal: the largest |S_t|_op at delta = 0."""
        return max(float(spectral_norm(S)) for S in self.adjoint(self.derivative(self.w0)))

    @cached_property
    def row_sizes(self) -> Blocks:
        """Bounds on the Frobenius norms of the canonical rows, one array (d,) a block."""
        return [self.canonical_loss.row_sizes(block.sizes()) for block in self.blocks]

    def check_factors(self, u: Any, v: Any) -> tuple[Blocks, Blocks]:
        """Return u and v as lists of factors whose shapes fit the blocks and each other.

        Raises
        ------
        ValueError
            If a shape does not fit, or an entry is NaN or infinite.
        """
        u, v = as_blocks(u, "u"), as_blocks(v, "v")
        for t, x in enumerate(u):
            if x.ndim != 2:
                raise ValueError(f"u[{t}] has shape {x.shape}; pass one matrix (m_t, r_t) a block")
        ranks = [x.shape[1] for x in u]
        self._check("v", v, [(n, r) for (_, n), r in zip(self.shapes, ranks, strict=False)])
        self._check("u", u, [(m, r) for (m, _), r in zip(self.shapes, ranks, strict=False)])
        return u, v

    def _check(self, name: str, given: Blocks, shapes: list[tuple[int, int]]) -> Blocks:
        if len(given) != len(self.shapes):
            raise ValueError(f"{name} has {len(given)} blocks; the problem has {len(self.shapes)}, pass one a block")
        for t, (x, shape) in enumerate(zip(given, shapes, strict=True)):
            if x.shape != shape:
                raise ValueError(f"{name}[{t}] has shape {x.shape}; block {t} is {self.shapes[t]}, pass shape {shape}")
        return given

    def _canonical(self, outputs: list[FloatArray]) -> FloatArray:
        return self.canonical_loss.linear_rows(sum(outputs[1:], outputs[0]))

    def __repr__(self) -> str:
        return f"LinearizedProblem(N={self.N}, K={self.K}, shapes={self.shapes}, loss={self.loss!r}, lam={self.lam:g})"
