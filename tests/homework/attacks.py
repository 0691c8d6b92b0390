"""Submissions that are wrong or cheat: (exercise, code put behind the honest solution, claims that must lose marks)."""

BOTH = frozenset({"theorem-1", "theorem-2"})
CHAIN = frozenset({"lemma-1", "lemma-1-more"})

ATTACKS = {
    "the target as an adapter of full rank": (
        "eckart_young",
        """
def adapter(W, target, r):
    return np.eye(W.shape[1]), target - W
""",
        BOTH,
    ),
    "a rank too few": (
        "eckart_young",
        """
def adapter(W, target, r):
    U, s, Vt = np.linalg.svd(target - W, full_matrices=False)
    s[r - 1] = 0
    return Vt[:r], U[:, :r] * s[:r]
""",
        BOTH,
    ),
    "the bound in place of a witness": (
        "eckart_young",
        """
def adapter(W, target, r):
    U, s, Vt = np.linalg.svd(target - W, full_matrices=False)
    return s[r], s[r]
""",
        BOTH,
    ),
    "exchanged factors": (
        "eckart_young",
        """
def adapter(W, target, r):
    U, s, Vt = np.linalg.svd(target - W, full_matrices=False)
    return U[:, :r] * s[:r], Vt[:r]
""",
        BOTH,
    ),
    "the smallest singular vectors": (
        "eckart_young",
        """
def adapter(W, target, r):
    U, s, Vt = np.linalg.svd(target - W, full_matrices=False)
    return Vt[-r:], U[:, -r:] * s[-r:]
""",
        BOTH,
    ),
    "a patched norm": (
        "eckart_young",
        """
np.linalg.norm = lambda *a, **k: 0.0
import lora_proofs.verify as judge
judge._judge = lambda *a: ('holds', '')
def adapter(W, target, r):
    return np.zeros((r, W.shape[1])), np.zeros((len(W), r))
""",
        BOTH,
    ),
    "other claims": (
        "eckart_young",
        """
PAPER = None
def adapted(case):
    return np.zeros((2, 2)), np.zeros(9)
def adapter(W, target, r):
    return 0 * W[:r], 0 * W[:, :r]
""",
        BOTH,
    ),
    "an array that lies": (
        "eckart_young",
        """
class Lie(np.ndarray):
    def __matmul__(self, other):
        return 1e9
    __rmatmul__ = __matmul__
def adapter(W, target, r):
    return np.zeros((r, W.shape[1])).view(Lie), np.zeros((len(W), r)).view(Lie)
""",
        BOTH,
    ),
    "an object": (
        "eckart_young",
        """
class Yes:
    __eq__ = lambda *a: True
def adapter(W, target, r):
    return Yes(), Yes()
""",
        BOTH,
    ),
    "changed inputs": (
        "eckart_young",
        """
def adapter(W, target, r):
    W[:] = target
    return np.zeros((r, W.shape[1])), np.zeros((len(W), r))
""",
        BOTH,
    ),
    "sys.exit": (
        "eckart_young",
        """
import sys
def adapter(*a):
    sys.exit(0)
""",
        BOTH,
    ),
    "os._exit": (
        "eckart_young",
        """
import os
def adapter(*a):
    os._exit(0)
""",
        BOTH,
    ),
    "an endless loop": (
        "eckart_young",
        """
def adapter(*a):
    while True:
        pass
""",
        BOTH,
    ),
    "all memory": (
        "eckart_young",
        """
def adapter(*a):
    return np.ones((10**6, 10**5)), [bytearray(10**9) for _ in range(100)]
""",
        BOTH,
    ),
    "killing the grader": (
        "eckart_young",
        """
import os
def adapter(*a):
    os.kill(os.getppid(), 9)
""",
        BOTH,
    ),
    "many processes": (
        "eckart_young",
        """
import os
def adapter(*a):
    while True:
        os.fork()
""",
        BOTH,
    ),
    "a shell": (
        "eckart_young",
        """
import subprocess
def adapter(*a):
    return subprocess.check_output('cat /etc/passwd', shell=True)
""",
        BOTH,
    ),
    "the reference as a module": (
        "eckart_young",
        """
def adapter(*a):
    from lora_proofs.exercises.solutions.eckart_young import adapter
    return adapter(*a)
""",
        BOTH,
    ),
    "the reference as a file": (
        "eckart_young",
        """
def adapter(*a):
    space = {}
    exec(open('REFERENCE').read(), space)
    return space['adapter'].__wrapped__(*a)
""",
        BOTH,
    ),
    "noise on the wire": (
        "eckart_young",
        """
import os
def adapter(*a):
    for fd in range(3, 512):
        try:
            os.write(fd, b'{}\\n')
        except OSError:
            pass
""",
        BOTH,
    ),
    "NaN": (
        "eckart_young",
        """
def adapter(W, target, r):
    return np.nan * W[:r], np.nan * W[:, :r]
""",
        BOTH,
    ),
    "an endless answer": (
        "eckart_young",
        """
def adapter(*a):
    return np.zeros(10**7)
""",
        BOTH,
    ),
    "an endless list": (
        "eckart_young",
        """
def adapter(*a):
    x = []
    x.append(x)
    return x
""",
        BOTH,
    ),
    "no such function": (
        "eckart_young",
        """
del adapter
""",
        BOTH,
    ),
    "a file that does not load": (
        "eckart_young",
        """
raise SystemExit(0)
""",
        {"corollary-1", "theorem-1", "theorem-2"},
    ),
    "rank off by one": (
        "eckart_young",
        """
def least_rank(W, target, tolerance):
    return int(np.sum(np.linalg.svd(target - W)[1] > tolerance)) - 1
""",
        {"corollary-1"},
    ),
    "every rank at once": (
        "eckart_young",
        """
def least_rank(*a):
    return 'any'
""",
        {"corollary-1"},
    ),
    "the whole update in one layer": (
        "linear_chain",
        """
def adapters(frozen, target, R):
    rest = chain([np.eye(len(target)), *frozen[1:]])
    B = np.linalg.solve(rest, target) - frozen[0]
    return [(np.eye(len(B)), B)] + [(np.zeros((R, len(B))), np.zeros((len(B), R)))] * (len(frozen) - 1)
""",
        CHAIN,
    ),
    "the library's construction": (
        "linear_chain",
        """
def adapters(frozen, target, R):
    from lora_proofs.constructions import adapt_linear_chain
    return [(a.A, a.B) for a in adapt_linear_chain(frozen, target, R).adapters]
""",
        CHAIN,
    ),
    "rounded down": (
        "linear_chain",
        """
def threshold(D, L):
    return D // L
""",
        {"lemma-1-threshold"},
    ),
    "the first answer again": (
        "linear_chain",
        """
first, honest = [], adapters
def adapters(*a):
    first.append(0) or len(first) > 1 or first.insert(0, honest(*a))
    return first[0]
""",
        CHAIN,
    ),
    "layers left out": (
        "linear_chain",
        """
honest = adapters
def adapters(*a):
    return honest(*a)[:1]
""",
        CHAIN,
    ),
    "biases from samples": (
        "relu_biases",
        """
def biases(weights, bias, c):
    h = np.random.default_rng(0).uniform(-c, c, (5, len(bias))).T
    found, center = [], np.zeros(len(bias))
    for W in weights[:-1]:
        b = np.abs(W @ h).max(axis=1)
        h, center = W @ h + b[:, None], W @ center + b
        found.append(b)
    return [*found, bias - weights[-1] @ center]
""",
        {"lemma-2", "lemma-2-tight"},
    ),
    "biases twice as large": (
        "relu_biases",
        """
honest = biases
def biases(weights, bias, c):
    return honest(weights, bias, 2 * c)
""",
        {"lemma-2-tight"},
    ),
    "no biases": (
        "relu_biases",
        """
def biases(weights, bias, c):
    return [0 * bias for W in weights]
""",
        {"lemma-2", "lemma-2-tight"},
    ),
    "a head at full rank": (
        "attention_head",
        """
def adapt_head(W_Q, W_K, scores):
    D = len(scores)
    return (np.eye(D), np.linalg.solve(W_K.T, scores) - W_Q), (np.zeros((1, D)), np.zeros((D, 1)))
""",
        {"theorem-7"},
    ),
    "one of two factors": (
        "attention_head",
        """
honest = adapt_head
def adapt_head(*a):
    query, (A, B) = honest(*a)
    return query, (A, 0 * B)
""",
        {"theorem-7"},
    ),
    "rank D": (
        "attention_head",
        """
def head_rank(D):
    return D
""",
        {"theorem-7-rank"},
    ),
    "an infeasible dual point": (
        "nuclear_norm_dual",
        """
def dual_point(G, y, lam, X):
    return y - np.tensordot(G, X)
""",
        {"lemma-feasible"},
    ),
    "the zero dual point": (
        "nuclear_norm_dual",
        """
def dual_point(G, y, lam, X):
    return 0 * y
""",
        {"lemma-tight"},
    ),
    "no gap": (
        "nuclear_norm_dual",
        """
def gap(*a):
    return 0.0
""",
        {"formula-gap"},
    ),
    "a saddle": (
        "spurious_minimum",
        """
honest = trap
def trap():
    G, y, u, v = honest()
    return G, y, 0 * u, 0 * v
""",
        {"theorem-strict"},
    ),
    "a global minimum": (
        "spurious_minimum",
        """
honest = trap
def trap():
    G, y, u, v = honest()
    return G, np.tensordot(G, u @ v.T), u, v
""",
        {"theorem-spurious", "theorem-strict"},
    ),
    "data that nothing fits": (
        "spurious_minimum",
        """
honest = trap
def trap():
    G, y, u, v = honest()
    return np.concatenate([G, 0 * G[:1]]), np.append(y, 9.0), u, v
""",
        {"theorem-spurious"},
    ),
    "no stationary point": (
        "spurious_minimum",
        """
honest = trap
def trap():
    G, y, u, v = honest()
    return G, y, u + 0.1, v
""",
        {"theorem-stationary", "theorem-strict"},
    ),
    "numbers too small to see": (
        "spurious_minimum",
        """
honest = trap
def trap():
    G, y, u, v = honest()
    return 1e-170 * G, y, u + 0.1, v
""",
        {"theorem-strict"},
    ),
    "no fit": (
        "spurious_minimum",
        """
def solution(G, y):
    return np.zeros((2, 2))
""",
        {"theorem-fit"},
    ),
    "the grader's environment": (
        "eckart_young",
        """
import os
def adapter(*a):
    return open(f'/proc/{os.getppid()}/environ').read()
""",
        BOTH,
    ),
    "the grader's memory": (
        "eckart_young",
        """
import os
def adapter(*a):
    os.open(f'/proc/{os.getppid()}/mem', os.O_RDONLY)
""",
        BOTH,
    ),
    "the reference behind replaced names": (
        "eckart_young",
        """
import builtins, os, posixpath, __main__
__main__.FORBIDDEN, os.fsdecode, posixpath._joinrealpath = (), lambda p: '/x', lambda *a: ('/x', True)
def adapter(*a):
    space, kept, builtins.isinstance = {}, isinstance, lambda *a: True
    try:
        text = open('REFERENCE').read()
    finally:
        builtins.isinstance = kept
    exec(text, space)
    return space['adapter'].__wrapped__(*a)
""",
        BOTH,
    ),
    "the reference through a folder's descriptor": (
        "eckart_young",
        """
import os
def adapter(*a):
    folder, name = os.path.split('REFERENCE')
    place, space = os.open(os.path.dirname(folder), os.O_RDONLY), {}
    with open(os.open('solutions/' + name, os.O_RDONLY, dir_fd=place)) as file:
        exec(file.read(), space)
    return space['adapter'].__wrapped__(*a)
""",
        BOTH,
    ),
    "the library's construction, imported anew": (
        "linear_chain",
        """
import sys
def adapters(frozen, target, R):
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != '_Closed']
    for name in [name for name in sys.modules if name.startswith('lora_proofs')]:
        del sys.modules[name]
    from lora_proofs.constructions import adapt_linear_chain
    return [(a.A, a.B) for a in adapt_linear_chain(frozen, target, R).adapters]
""",
        CHAIN,
    ),
    "answers before and after the question": (
        "eckart_young",
        """
import atexit, os, threading
def everywhere():
    for fd in range(3, 512):
        try:
            os.write(fd, b'{"tuple": ["result", {"list": []}]}\\n' * 9)
        except OSError:
            pass
everywhere()
atexit.register(everywhere)
threading.Timer(0.1, everywhere).start()
""",
        BOTH | {"corollary-1"},
    ),
    "another messenger": (
        "eckart_young",
        """
import lora_proofs.homework.messages as messages, __main__
messages.encode = __main__.encode = lambda value: '{"tuple": ["result", {"list": []}]}'
messages._pack = lambda value: {"list": []}
def adapter(*a):
    return 0
""",
        BOTH | {"corollary-1"},
    ),
    "numbers that take for ever to read": (
        "eckart_young",
        """
import os
def adapter(*a):
    for fd in range(3, 512):
        try:
            os.write(fd, b'{"tuple": ["result", {"fraction": "1e999999999"}]}\\n')
        except OSError:
            pass
""",
        BOTH,
    ),
    "the pipes exchanged": (
        "eckart_young",
        """
import os
def adapter(*a):
    for fd in range(3, 512):
        try:
            os.dup2(os.open('/dev/null', os.O_RDONLY), fd)
        except OSError:
            pass
""",
        BOTH,
    ),
    "an answer that is too deep": (
        "eckart_young",
        """
def adapter(*a):
    x = []
    for _ in range(10**5):
        x = [x]
    return x
""",
        BOTH,
    ),
    "a call that cannot be interrupted": (
        "eckart_young",
        """
import os, signal
for number in {*signal.valid_signals()} - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
def adapter(*a):
    os.nice(19)
    signal.raise_signal(signal.SIGSTOP)
""",
        BOTH,
    ),
}
