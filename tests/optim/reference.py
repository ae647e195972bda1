"""MetaGrad and AdaptiveMetaGrad as the papers write them: numpy, float64, an expert at a time, not for speed."""

import math

import numpy as np


class FullExpert:
    """One learning rate on a ball, with Σ = prior²·I at the start."""

    def __init__(self, eta, d, radius, prior):
        self.eta, self.radius = eta, radius
        self.w = np.zeros(d)
        self.precision = np.eye(d) / prior**2

    def update(self, w, g):
        grad = self.eta * (1 + 2 * self.eta * float(g @ (self.w - w))) * g
        self.precision = self.precision + 2 * self.eta**2 * np.outer(g, g)
        self.w = project(self.w - np.linalg.solve(self.precision, grad), self.precision, self.radius)


class SketchedExpert:
    """As FullExpert, from a frequent-directions sketch that keeps m − 1 directions."""

    def __init__(self, eta, d, radius, prior, m):
        self.eta, self.radius, self.prior, self.m = eta, radius, prior, m
        self.w = np.zeros(d)
        self.rows = np.zeros((0, d))
        self.since = 0

    def update(self, w, g):
        grad = self.eta * (1 + 2 * self.eta * float(g @ (self.w - w))) * g
        self.rows = np.vstack([self.rows, math.sqrt(2) * self.eta * g])
        self.since += 1
        if self.since == self.m + 1:
            _, values, directions = np.linalg.svd(self.rows, full_matrices=False)
            cut = values[self.m - 1] ** 2 if len(values) >= self.m else 0.0
            kept = min(self.m - 1, len(values))
            self.rows = np.sqrt(values[:kept] ** 2 - cut)[:, None] * directions[:kept]
            self.since = 0
        precision = np.eye(len(g)) / self.prior**2 + self.rows.T @ self.rows
        self.w = project(self.w - np.linalg.solve(precision, grad), precision, self.radius)


def project(w, precision, radius):
    """argmin of (u − w)ᵀ precision (u − w) over ‖u‖ ≤ radius, by bisection."""
    if np.linalg.norm(w) <= radius:
        return w
    scales, axes = np.linalg.eigh(precision)
    pulled = (axes.T @ w) * scales
    low, high = 0.0, 1.0
    while np.linalg.norm(pulled / (scales + high)) > radius:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        outside = np.linalg.norm(pulled / (scales + middle)) > radius
        low, high = (middle, high) if outside else (low, middle)
    return axes @ (pulled / (scales + high))


class MetaGrad2016:
    def __init__(self, d, radius, bound, steps):
        n = math.ceil(0.5 * math.log2(steps))
        self.weights = np.array([(1 + 1 / (1 + n)) / ((i + 1) * (i + 2)) for i in range(n + 1)])
        self.experts = [
            FullExpert(2.0**-i / (5 * 2 * radius * bound), d, radius, 2 * radius) for i in range(n + 1)
        ]
        self.w = np.zeros(d)

    def step(self, g):
        x = np.array([e.eta * float((self.w - e.w) @ g) for e in self.experts])
        self.weights = self.weights * np.exp(x - x**2)
        assert self.weights.sum() <= 1 + 1e-12  # the potential, which never grows
        for expert in self.experts:
            expert.update(self.w, g)
        tilted = self.weights * np.array([e.eta for e in self.experts])
        self.w = sum(t * e.w for t, e in zip(tilted, self.experts, strict=True)) / tilted.sum()
        return self.w


class AdaptiveMetaGrad:
    def __init__(self, d, radius, prior, *, grid="pow2", wake="center", expert=None):
        self.d, self.radius, self.grid, self.wake = d, radius, grid, wake
        self.make = expert or (lambda eta: FullExpert(eta, d, radius, prior))
        self.B = self.S = self.U = self.B_tau = 0.0
        self.anchor = None
        self.awake = {}  # i -> [expert, weight]; its rate is 2^i in units of the grid
        self.w = np.zeros(d)
        self.restarts = 0

    def step(self, g):
        b = 2 * self.radius * float(np.linalg.norm(g))
        largest = max(self.B, b)
        if largest == 0:
            return self.w
        clip = self.B / largest
        self.S += min(b, self.B)
        mass = sum(weight for _, weight in self.awake.values())
        for entry in self.awake.values():
            x = clip * entry[0].eta * float((self.w - entry[0].w) @ g)
            assert abs(x) <= 0.5 + 1e-12
            entry[1] *= math.exp(x - x**2)
            entry[0].update(self.w, g)
        after = sum(weight for _, weight in self.awake.values())
        for entry in self.awake.values():
            entry[1] *= mass / after
        self.U += b / largest
        self.anchor = self.anchor or largest
        self.B = largest
        if self.B_tau == 0 or largest / self.B_tau > self.U:
            self.B_tau = largest
            self.restarts += 1
            for entry in self.awake.values():
                entry[1] = 1.0
        self._wake()
        tilted = {i: weight * expert.eta for i, (expert, weight) in self.awake.items()}
        if tilted:
            self.w = sum(t * self.awake[i][0].w for i, t in tilted.items()) / sum(tilted.values())
        elif self.wake == "center":
            self.w = np.zeros(self.d)
        return self.w

    def _wake(self):
        offset, slack = (0.0, 0.0) if self.grid == "pow2" else (-math.log2(2 * self.anchor), 1e-9)
        highest = math.floor(-math.log2(2 * self.B) - offset + slack)
        lowest = math.ceil(-math.log2(2 * (self.S + self.B)) - offset - slack)
        self.awake = {i: entry for i, entry in self.awake.items() if i <= highest}
        for i in range(highest, lowest - 1, -1):
            if i not in self.awake:
                expert = self.make(2.0 ** (i + offset))
                expert.w = self.w.copy() if self.wake == "current" else expert.w
                self.awake[i] = [expert, 1.0]


class Coordinates:
    """A copy for each number."""

    def __init__(self, d, make):
        self.copies = [make() for _ in range(d)]

    def step(self, g):
        steps = zip(self.copies, g, strict=True)
        return np.array([copy.step(np.array([number]))[0] for copy, number in steps])
