"""Hard instances of the linearised problem, and their recomputation in 60 digits from the definition alone.

``python tests/ntk/ntk_attack.py 0 1000`` attacks `ntk.solve` and `ntk.certify` with a thousand seeds and prints
each bracket that excludes what mpmath says; `test_ntk_attack` does so with a few.
"""

import sys
import warnings

import mpmath as mp
import numpy as np

from lora_proofs import ntk

LOSSES = ("squared", "logistic", "cross_entropy")
KINDS = (
    "plain",
    "blocks",
    "wild blocks",
    "nearly dependent",
    "duplicates",
    "wild rows",
    "small risk",
    "large offsets",
    "integers",
    "rank one",
    "tall",
)
DIGITS = 60


def draw(seed):
    """Return (kind, problem): all losses, kinds, scales from 1e-150 to 1e150, one in four at lam = 0."""
    rng = np.random.default_rng(seed)
    loss, kind = LOSSES[seed % 3], KINDS[seed // 3 % len(KINDS)]
    N = int(rng.integers(1, 7))
    K = 1 if loss == "logistic" else int(rng.integers(2 if loss == "cross_entropy" else 1, 4))
    shapes = [tuple(int(x) for x in rng.integers(1, 5, 2))]
    if kind in ("blocks", "wild blocks"):
        shapes += [tuple(int(x) for x in rng.integers(1, 5, 2)) for _ in range(rng.integers(1, 3))]
    if kind == "tall":
        N, shapes = int(rng.integers(6, 10)), [(int(rng.integers(1, 3)), int(rng.integers(1, 3)))]
    G = [rng.standard_normal((N, K, *shape)) for shape in shapes]
    offsets = rng.standard_normal((N, K))
    if kind == "integers":
        G, offsets = [rng.integers(-3, 4, g.shape).astype(float) for g in G], rng.integers(-2, 3, (N, K)).astype(float)
    if kind == "blocks":
        G = [g * 10.0 ** rng.uniform(-3, 3) for g in G]
    if kind == "wild blocks":
        G = [g * 10.0 ** rng.uniform(-75, 75) for g in G]
    if kind == "nearly dependent":
        G = [g[:1] + 10.0 ** rng.integers(-16, -3) * g for g in G]
    if kind == "duplicates":
        G = [g[rng.integers(0, max(1, N // 2), N)] for g in G]
    if kind == "wild rows":
        size = 10.0 ** rng.uniform(-12, 0, (N, 1, 1, 1))
        G = [g * size for g in G]
    if kind == "rank one":
        G = [g[..., :1] * g[..., :1, :] for g in G]
    labels = {"squared": rng.standard_normal((N, K)), "logistic": rng.choice([-1, 1], N)}.get(
        loss, rng.integers(0, K, N)
    )
    share = 10.0 ** rng.uniform(-6, 0.2)
    if kind == "small risk":
        share = 10.0 ** rng.uniform(-14, -6)
    if kind == "large offsets":
        offsets = offsets * 10.0 ** rng.uniform(1, 4)
    G = [g * 10.0 ** rng.choice([0.0, rng.uniform(-150, 150) / (1 + (kind == "wild blocks"))]) for g in G]
    if loss == "squared":
        size = 10.0 ** rng.choice([0.0, rng.uniform(-150, 150)])
        offsets, labels = offsets * size, labels * size
    lam = 0.0 if rng.integers(4) == 0 else share * ntk.LinearizedProblem(G, offsets, labels, loss, 0.0).lam_max
    return kind, ntk.LinearizedProblem(G, offsets, labels, loss, lam)


def _outputs(problem, u, v):
    z = [[mp.mpf(float(x)) for x in row] for row in problem.offsets]
    for block, x, y in zip(problem.blocks, u, v, strict=True):
        delta = mp.matrix(x.tolist()) * mp.matrix(y.tolist()).T if x.shape[1] else None
        for i in range(problem.N if delta is not None else 0):
            for k in range(problem.K):
                entries = zip(block.array[i, k].ravel().tolist(), list(delta), strict=True)
                z[i][k] += mp.fsum(mp.mpf(g) * d for g, d in entries)
    return z


def _loss(problem, row, i):
    y = problem.canonical_loss.labels[i]
    if problem.loss == "squared":
        return mp.fsum((x - mp.mpf(float(t))) ** 2 for x, t in zip(row, y, strict=True)) / 2
    if problem.loss == "logistic":
        return mp.log1p(mp.exp(-int(y) * row[0]))
    return mp.log1p(mp.fsum(mp.exp(x - row[int(y)]) for k, x in enumerate(row) if k != int(y)))


def objective(problem, u, v):
    """Return the LoRA objective from its definition."""
    z = _outputs(problem, u, v)
    risk = mp.fsum(_loss(problem, row, i) for i, row in enumerate(z)) / problem.N
    squares = mp.fsum(mp.mpf(x) ** 2 for f in (*u, *v) for x in f.ravel().tolist())
    return risk + mp.mpf(problem.lam) / 2 * squares


def _slopes(problem, z):
    """Return the gradient of the loss in the outputs, N lists of K."""
    slopes = []
    for i, row in enumerate(z):
        y = problem.canonical_loss.labels[i]
        if problem.loss == "squared":
            slopes.append([x - mp.mpf(float(t)) for x, t in zip(row, y, strict=True)])
        elif problem.loss == "logistic":
            slopes.append([-int(y) / (1 + mp.exp(int(y) * row[0]))])
        else:
            e = [mp.exp(x - max(row)) for x in row]
            slopes.append([x / mp.fsum(e) - (k == int(y)) for k, x in enumerate(e)])
    return slopes


def _dual(problem, c):
    """Return the dual objective at slopes c of the outputs."""
    total = mp.mpf(0)
    for i, row in enumerate(c):
        y, f = problem.canonical_loss.labels[i], [mp.mpf(float(x)) for x in problem.offsets[i]]
        if problem.loss == "squared":
            total += mp.fsum(q * (x - mp.mpf(float(t))) - q * q / 2 for q, x, t in zip(row, f, y, strict=True))
            continue
        if problem.loss == "logistic":
            shares, linear = [-int(y) * row[0]], -int(y) * f[0] * -int(y) * row[0]
        else:
            shares = [q for k, q in enumerate(row) if k != int(y)]
            linear = mp.fsum(q * (x - f[int(y)]) for q, x in zip(row, f, strict=True))
        shares = [*shares, 1 - mp.fsum(shares)]
        if min(shares) < -(mp.mpf(10) ** (10 - DIGITS)):
            return mp.mpf(0)
        total += linear - mp.fsum(p * mp.log(p) for p in shares if p > 0)
    return total / problem.N


def lower_bound(problem, u, v):
    """Return the dual value at the scaled slopes of the point, lam > 0; at lam = 0 at their part where S = 0."""
    c = _slopes(problem, _outputs(problem, u, v))
    if not problem.lam:
        return _lower_bound_at_zero(problem, c)
    top = mp.mpf(0)
    for block in problem.blocks:
        _, _, m, n = block.shape
        S = mp.zeros(m, n)
        for i in range(problem.N):
            for k in range(problem.K):
                S += c[i][k] * mp.matrix(block.array[i, k].tolist()) / problem.N
        size = max((abs(x) for x in S), default=mp.mpf(0))
        if size:
            S = (S if m >= n else S.T) / size
            top = max(top, size * max(mp.svd_r(S, compute_uv=False)))
    t = min(mp.mpf(1), mp.mpf(problem.lam) / top) if top else mp.mpf(1)
    return _dual(problem, [[t * q for q in row] for row in c])


def _lower_bound_at_zero(problem, c):
    flat = [q for row in c for q in row]
    columns = []
    for block in problem.blocks:
        array = block.array.reshape(problem.N * problem.K, -1)
        columns += [[mp.mpf(x) for x in column] for column in array.T.tolist()]
    if problem.loss == "cross_entropy":  # slopes of a datum sum to 0
        units = [[mp.mpf(i == j // problem.K) for j in range(len(flat))] for i in range(problem.N)]
        columns = units + columns
    with mp.workdps(400):
        basis = []
        for column in columns:
            size = mp.norm(column)
            if not size:
                continue
            x = [a / size for a in column]
            for _ in range(2):
                for b in basis:
                    inner = mp.fdot(x, b)
                    x = [a - inner * e for a, e in zip(x, b, strict=True)]
            if mp.norm(x) > mp.mpf(10) ** -200:
                basis.append([a / mp.norm(x) for a in x])
        if len(basis) == len(flat):
            return mp.mpf(0)
        for b in basis:
            inner = mp.fdot(flat, b)
            flat = [q - inner * e for q, e in zip(flat, b, strict=True)]
        return _dual(problem, [flat[i * problem.K : (i + 1) * problem.K] for i in range(problem.N)])


def attack(seed, methods=("auto",), rigorous=False):
    """Return what is wrong with the brackets of an instance, as a list of sentences, and the relative gap reached."""
    kind, problem = draw(seed)
    name = f"seed {seed} ({kind}, {problem.loss}, lam {problem.lam:.1e})"
    faults, points, brackets, gap = [], [], [], None
    with mp.workdps(DIGITS), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ntk.GapWarning)
        for method in methods:
            try:
                solution = ntk.solve(problem, method=method)
            except ValueError as error:
                if not problem.lam and "separable" in str(error):
                    continue
                return [f"{name}: {method}: ValueError: {error}"], None
            except Exception as error:  # a crash is what is looked for
                return [f"{name}: {method}: {type(error).__name__}: {error}"], None
            u, v = ([np.asarray(x, float) for x in side] for side in zip(*solution.factors, strict=True))
            points.append((u, v))
            gap = solution.gap if gap is None else gap
            brackets.append((f"solve by {method}", solution.lower, solution.upper))
            found = ntk.certify(problem, u, v)
            brackets.append((f"certify, {method}", found.lower, found.upper))
            value = objective(problem, u, v)
            loose = value * (1 + mp.mpf(10) ** -8) if problem.lam else mp.inf
            if not value <= solution.upper <= loose + mp.mpf(10) ** -320:
                faults.append(f"{name}: upper {solution.upper!r} at factors of {mp.nstr(value, 17)}")
            if abs(found.gap - solution.gap) > 1e-9 + 0.5 * max(found.gap, solution.gap):
                faults.append(f"{name}: gaps {solution.gap:.1e} and {found.gap:.1e} of one point, {method}")
            if rigorous:
                proved = ntk.certify(problem, u, v, rigorous=True)
                brackets.append((f"rigorous, {method}", proved.lower, proved.upper))
        if not points:
            return faults, gap
        best = min(objective(problem, u, v) for u, v in points)
        dual = max(lower_bound(problem, u, v) for u, v in points)
        for what, lower, upper in brackets:
            if lower > best or upper < dual:
                truth = f"[{mp.nstr(dual, 17)}, {mp.nstr(best, 17)}]"
                faults.append(f"{name}: {what} says [{lower!r}, {upper!r}], 60 digits say {truth}")
    return faults, gap


if __name__ == "__main__":
    first, last = int(sys.argv[1]), int(sys.argv[2])
    methods = tuple(sys.argv[3].split(",")) if len(sys.argv) > 3 else ("auto",)
    wrong, missed, gaps = 0, [], []
    for seed in range(first, last):
        faults, gap = attack(seed, methods, rigorous=True)
        wrong += bool(faults)
        print(*faults, sep="\n", end="\n" if faults else "", flush=True)
        if gap is not None and gap > 1e-8:
            kind, problem = draw(seed)
            missed.append(seed)
            print(f"    gap {gap:.1e}: seed {seed} ({kind}, {problem.loss}, lam {problem.lam:.1e})", flush=True)
    print(f"{wrong} of {last - first} instances with a fault; {len(missed)} above the gap: {missed}")
