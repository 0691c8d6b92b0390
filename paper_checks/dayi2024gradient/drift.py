"""The drift of the overlap: monotone, its order at the start, and the time to grow."""

from typing import Any

from flint import acb, arb, fmpq, fmpq_mat

from lora_proofs import Case, Comparison, at_least, at_most, equal

from .paper import ACTIVATIONS, PAPER, REACHED, Model, fine_tuning, glm, kappa


@PAPER.theorem("monotone", activation=ACTIVATIONS, sampled=True)
def monotone(case: Case) -> Comparison:
    r"""-dL/dm is a polynomial in m with non-negative coefficients, for every activation, all lambda, c and w.

    The coefficient of m^q is sum_p p C(p-1, q) a_p^2 z^T G^{o(p-1-q)} z, z = lambda c^{q+1}: the entrywise powers of
    the Gram matrix G of the w_i are positive semidefinite (Schur). So from m >= 0 the spherical gradient flow, dm/dt =
    (1 - m^2) (-dL/dm), never turns back, and there is no trap at m in [0, 1). Measured: the least coefficient, or minus
    what the polynomial misses of -dL/dm.
    """
    return at_least(least_coefficient(fine_tuning(case)), 0)


@monotone.control("the derivative of another model", activation=("0-0-0-1",))
def _(case: Case) -> Comparison:
    model = fine_tuning(case)
    model.drift[0] += 1
    return at_least(least_coefficient(model), 0)


@monotone.control("inner products that no vectors have: <w_1, w_2> = 4, of the sign that hurts", activation=("0-0-1",))
def _(case: Case) -> Comparison:
    model = fine_tuning(case, k=2)
    model.gram[0][1] = model.gram[1][0] = fmpq(-4 if model.weights[0] * model.weights[1] > 0 else 4)
    return at_least(least_coefficient(model), 0)


def least_coefficient(model: Model) -> Any:
    """Return the least coefficient of the drift, or minus what it misses of the loss's derivative."""
    return -model.defect if model.defect else min(model.drift)


@PAPER.theorem("information-exponent", p=(2, 3, 4, 7))
def information_exponent(case: Case) -> Comparison:
    r"""The loss of fine-tuning is of first order at overlap 0 for every He_p, that of the GLM of order p.

    The first order is p sum_ij lambda_i c_i lambda_j c_j <w_i, w_j>^{p-1} > 0, for generic w: the correlation of the
    base neurons with themselves does what overlap must do in the GLM. Measured: the least order with a coefficient
    other than 0.
    """
    return equal(order(fine_tuning(single(case))), 1)


@information_exponent.control("the derivative of another model")
def _(case: Case) -> Comparison:
    model = fine_tuning(single(case))
    model.drift[0] += 1
    return equal(order(model), 1)


@information_exponent.control("the generalised linear model")
def _(case: Case) -> Comparison:
    return equal(order(glm(kappa(single(case)))), 1)


def single(case: Case) -> Case:
    """Return the case with activation He_p."""
    return case.derive(activation="-".join(["0"] * case["p"] + ["1"]))


def order(model: Model) -> int:
    """Return the order in m of the loss's first term, one more if the drift is not the loss's derivative."""
    return 1 + next(q for q, a in enumerate(model.drift) if a != 0) + (model.defect != 0)


@PAPER.proposition("negative-start", p=(3, 4), seeded=False)
def negative_start(case: Case) -> Comparison:
    r"""From m < 0 there can be a trap: for one neuron the drift vanishes at m = -(1 - c^2)/c^2 if c^2 > 1/2.

    The drift is p lambda^2 c^2 (1 - c^2 + c^2 m)^{p-1}: a random v with m of order -d^{-1/2} lies above the trap as
    long as c^2 < 1 by a margin. For the GLM, c = 1, the trap is at 0.
    """
    c = fmpq(4, 5)
    return equal(one_neuron(case).slope(-(1 - c**2) / c**2), 0)


@negative_start.control("at m = 0")
def _(case: Case) -> Comparison:
    return equal(one_neuron(case).slope(fmpq(0)), 0)


def one_neuron(case: Case) -> Model:
    """Return the model of one neuron with c = 4/5."""
    return Model(kappa(single(case)), (1,), (fmpq(4, 5),), (fmpq_mat(1, 1, [fmpq(3, 5)]),))


def time(model: Model, root: int) -> arb:
    """Enclose the time in which dm/dt = (1 - m^2) (-dL/dm) leads from m = 1/root to 9/10."""
    integral = acb.integral(lambda m, _: 1 / ((1 - m * m) * model.slope(m)), acb(fmpq(1, root)), acb(REACHED))
    return integral.real


def time_bound(model: Model, root: int) -> arb:
    """Enclose the time for the drift at m = 0 all the way."""
    return (arb(REACHED).atanh() - arb(fmpq(1, root)).atanh()) / arb(model.drift[0])


@PAPER.theorem("time", activation=ACTIVATIONS, root=(4, 64, 1024), sampled=True)
def time_is_free_of_d(case: Case) -> Comparison:
    r"""Gradient flow from m = d^{-1/2} reaches m = 9/10 within artanh(9/10) / D(0), D = -dL/dm: no power of d.

    The drift grows with m, so dm/dt >= (1 - m^2) D(0), with equality for He_2 and sum_i lambda_i c_i^2 = 0. At root^2 =
    d up to 10^6 and every activation. (With a step size of order 1/d, which the noise asks for, see `noise`, that is a
    number of iterations of order d.)
    """
    model = fine_tuning(case)
    return at_most(time(model, case["root"]), time_bound(model, case["root"]))


@time_is_free_of_d.control("99/100 of the bound, where the drift is constant", activation=("0-0-1",), root=(4, 64))
def _(case: Case) -> Comparison:
    c, w = fmpq(3, 5), fmpq(4, 5)
    model = Model(kappa(case), (1, -1), (c, c), (fmpq_mat(2, 1, [w, 0]), fmpq_mat(2, 1, [0, w])))
    return at_most(time(model, case["root"]), time_bound(model, case["root"]) * fmpq(99, 100))


@time_is_free_of_d.control("a base of zeros, the same bound", activation=("0-0-0-1", "0-0-0-0-0-1"), root=(1024,))
def _(case: Case) -> Comparison:
    return at_most(time(glm(kappa(case)), case["root"]), time_bound(fine_tuning(case), case["root"]))


@PAPER.theorem("time-glm", p=(2, 3, 4, 5), root=(4, 64, 1024), seeded=False)
def time_glm(case: Case) -> Comparison:
    r"""The GLM with He_p needs a time of order d^{p/2-1} from m = d^{-1/2}, of order log d for p = 2.

    It is 1/p times sum_j [m^{2+2j-p} / (p-2-2j)], 0 <= j < (p-2)/2, plus a last term: dm/dt = (1 - m^2) p m^{p-1}, and
    1/(m^{p-1} (1 - m^2)) = m^{1-p} + m^{3-p} + ... ends with artanh for odd p and log(m) - log(1 - m^2)/2 for even p.
    Certified quadrature over the closed form.
    """
    return equal(quadrature(case) / closed_form(case["p"], case["root"]), 1)


@time_glm.control("the closed form for p + 1", p=(2, 3), root=(64,))
def _(case: Case) -> Comparison:
    return equal(quadrature(case) / closed_form(case["p"] + 1, case["root"]), 1)


def quadrature(case: Case) -> arb:
    """Enclose the time of the GLM with He_p."""
    return time(glm(kappa(single(case))), case["root"])


def closed_form(p: int, root: int) -> arb:
    """Enclose T_p."""
    return (antiderivative(p, arb(REACHED)) - antiderivative(p, arb(fmpq(1, root)))) / p


def antiderivative(q: int, m: arb) -> arb:
    """Enclose the antiderivative of m^{1-q} / (1 - m^2) at m, up to a constant."""
    if q == 1:
        return m.atanh()
    if q == 2:
        return m.log() - (1 - m * m).log() / 2
    return -(m ** (2 - q)) / (q - 2) + antiderivative(q - 2, m)
