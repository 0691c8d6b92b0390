r"""Rational instances of the linearised LoRA problem: exact gradient, Hessian and inertia at a point.

The instances themselves are in `traps`. Only what is rational is here: the squared loss, and the logistic one at points
where every margin is 0.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import flint
import numpy as np

from lora_proofs.exact import matrices
from lora_proofs.exact.algebra import inner
from lora_proofs.exact.matrices import floats

_HALF, _QUARTER = flint.fmpq(1, 2), flint.fmpq(1, 4)


@dataclass(frozen=True, eq=False)
class Trap:
    """A rational instance of F(u, v) = sum_k phi(w_k) + lam/2 (|u|^2 + |v|^2), with a point to be judged.

    One output per datum, K = 1, so the functionals G_k are the data.

    Attributes
    ----------
    name : str
    loss : str
        "squared", phi(w) = w^2/2 with w = f + <G, u v^T> - y; or "logistic", phi(w) = log(1 + e^w) with
        w = -y (f + <G, u v^T>).
    lam : fmpq
    gradients : tuple of N fmpq_mat (m, n)
    offsets, labels : tuple of N fmpq
        f and y; for the logistic loss y is 1 or -1.
    u, v : fmpq_mat (m, r), (n, r)
    inertia : (int, int, int) or None
        Numbers of negative, zero and positive eigenvalues of the Hessian at (u, v) that the family's docstring proves.
    better : (fmpq_mat, fmpq_mat) or None
        A point of the same shape with a lower objective.
    """

    name: str
    loss: str
    lam: Any
    gradients: tuple[Any, ...]
    offsets: tuple[Any, ...]
    labels: tuple[Any, ...]
    u: Any
    v: Any
    inertia: tuple[int, int, int] | None = None
    better: tuple[Any, Any] | None = None

    @property
    def N(self) -> int:
        """The number of functionals."""
        return len(self.gradients)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (m, n) of the weight matrix."""
        return int(self.u.nrows()), int(self.v.nrows())

    @property
    def r(self) -> int:
        """The number of columns of u and v."""
        return int(self.u.ncols())

    def rows(self, u: Any, v: Any) -> list[Any]:
        """Return the canonical rows w_k at (u, v), exactly."""
        fits = [inner(G * v, u) + f for G, f in zip(self.gradients, self.offsets, strict=True)]
        if self.loss == "squared":
            return [z - y for z, y in zip(fits, self.labels, strict=True)]
        return [-y * z for z, y in zip(fits, self.labels, strict=True)]

    def objective(self, u: Any, v: Any) -> Any:
        """Return F(u, v): an ``fmpq`` for the squared loss, a ball (``flint.arb``) for the logistic one."""
        w, regulariser = self.rows(u, v), self.lam / 2 * (inner(u, u) + inner(v, v))
        if self.loss == "squared":
            return sum((x * x for x in w), flint.fmpq(0)) / 2 + regulariser
        return sum((flint.arb(x).exp().log1p() for x in w), flint.arb(regulariser))

    @property
    def value(self) -> Any:
        """The objective at (u, v); see `objective`."""
        return self.objective(self.u, self.v)

    def is_spurious(self) -> bool:
        """Tell whether `better` has a lower objective than (u, v): exactly, or by balls that do not meet."""
        return self.better is not None and bool(self.objective(*self.better) < self.value)

    def gradient(self) -> tuple[Any, Any]:
        """Return dF/du = lam u - M v and dF/dv = lam v - M^T u, exactly.

        Raises
        ------
        ValueError
            If the loss is logistic and some w_k is not 0, where phi' = 1/2 and phi'' = 1/4 are rational.
        """
        M, _ = self._slope()
        return self.lam * self.u - M * self.v, self.lam * self.v - M.transpose() * self.u

    def hessian(self) -> Any:
        """Return the exact Hessian of F at (u, v), ``fmpq_mat`` of order (m + n) r.

        The coordinates are the entries of u, row by row, then those of v. Raises as `gradient` does.
        """
        (m, n), r = self.shape, self.r
        M, curvature = self._slope()
        H = self.lam * matrices.identity((m + n) * r)
        for i in range(m):
            for j in range(n):
                for c in range(r):
                    H[i * r + c, (m + j) * r + c] -= M[i, j]
                    H[(m + j) * r + c, i * r + c] -= M[i, j]
        jacobian = flint.fmpq_mat([(G * self.v).entries() + (G.transpose() * self.u).entries() for G in self.gradients])
        return H + curvature * (jacobian.transpose() * jacobian)

    def without(self, index: int) -> "Trap":
        """Return the instance without its index-th functional, whose inertia and better point nobody knows."""
        kept = [i for i in range(self.N) if i != index]
        gradients, offsets, labels = (tuple(x[i] for i in kept) for x in (self.gradients, self.offsets, self.labels))
        return replace(
            self,
            name=f"{self.name} without functional {index}",
            gradients=gradients,
            offsets=offsets,
            labels=labels,
            inertia=None,
            better=None,
        )

    def problem(self) -> Any:
        """Return the `LinearizedProblem` in floats whose objective is F / N: risk a mean, lam / N for lam."""
        from lora_proofs.ntk.problem import LinearizedProblem

        return LinearizedProblem(
            np.stack([floats(G) for G in self.gradients])[:, None],
            np.array([[float(f)] for f in self.offsets]),
            np.array([[float(y)] for y in self.labels]) if self.loss == "squared" else np.array(self.labels, dtype=int),
            self.loss,
            float(self.lam / self.N),
        )

    def factors(self) -> tuple[Any, Any]:
        """Return (u, v) in float64."""
        return floats(self.u), floats(self.v)

    def _slope(self) -> tuple[Any, Any]:
        """Return M, and phi'', which is the same number on all rows."""
        w = self.rows(self.u, self.v)
        if self.loss == "logistic" and any(x != 0 for x in w):
            raise ValueError(f"{self.name}: the logistic derivatives are rational only where every margin is 0")
        M = flint.fmpq_mat(*self.shape)
        for G, x, y in zip(self.gradients, w, self.labels, strict=True):
            M += y * _HALF * G if self.loss == "logistic" else -x * G
        return M, _QUARTER if self.loss == "logistic" else flint.fmpq(1)


def load_traps(path: str | PathLike[str]) -> list[Trap]:
    """Return the instances of a JSON file: a list of objects with name, loss ("sq" or "logistic"), lam, G, u, v.

    Squared ones also have y, logistic ones f and labels; numbers are strings "p/q". Inertia and better points are not
    in such a file.

    Raises
    ------
    ValueError
        If the file has another form.
    """
    with open(path, encoding="utf-8") as file:
        items = json.load(file)
    try:
        return [_from_json(item) for item in items]
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{path} holds no list of instances with name, loss, lam, G, u, v: {error!r}") from None


def _from_json(item: Mapping[str, Any]) -> Trap:
    rational = np.vectorize(lambda text: flint.fmpq(*map(int, text.split("/"))), otypes=[object])
    G, u, v = [matrices.matrix(rational(g)) for g in item["G"]], *(matrices.matrix(rational(item[k])) for k in "uv")
    loss = {"sq": "squared", "logistic": "logistic"}[item["loss"]]
    labels = rational(item["y"]) if loss == "squared" else [flint.fmpq(y) for y in item["labels"]]
    offsets = rational(item["f"]) if loss == "logistic" else [flint.fmpq(0)] * len(G)
    return Trap(item["name"], loss, rational(item["lam"]).item(), tuple(G), tuple(offsets), tuple(labels), u, v)
