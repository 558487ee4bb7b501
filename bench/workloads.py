"""W1, W1s and W7 in each framework: `prepare(framework, workload)` returns a step as a function.

Frameworks are imported inside the functions, so that a process loads only its own.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from bench import THREADS, on

NETWORKS = {"W1": (784, 512, 512, 10), "W1s": (784, 128, 10), "W7": (784, 512, 512, 10)}
BATCH = {"W1": 128, "W1s": 32, "W7": 1}

Step = Callable[[], object]


def _batch(workload: str) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((BATCH[workload], 784), np.float32)
    return x, generator.integers(0, 10, BATCH[workload])


def prepare(framework: str, workload: str, device: str = "cpu") -> Step:
    """A function that does one step of a workload and returns when it is given to the device."""
    return _PREPARE[framework](workload, device)


def _gpunet(workload: str, device: str) -> Step:
    import gpunet
    from gpunet import nn, optim
    from gpunet.functional import cross_entropy

    sizes = NETWORKS[workload]
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    model = on(nn.Sequential(*layers[:-1]), device)
    x, t = (on(gpunet.tensor(array), device) for array in _batch(workload))
    if workload == "W7":

        def infer() -> object:
            with gpunet.no_grad():
                return model(x)

        return infer
    kind, lr = (optim.Adam, 1e-3) if workload == "W1" else (optim.SGD, 1e-2)
    optimizer = kind(model.parameters(), lr=lr)

    def step() -> object:
        optimizer.zero_grad()
        loss = cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _torch(workload: str, device: str, fused: bool = False) -> Step:
    import torch
    from torch import nn, optim
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(THREADS)
    sizes = NETWORKS[workload]
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    model = on(nn.Sequential(*layers[:-1]), device)
    x, t = (on(torch.from_numpy(array), device) for array in _batch(workload))
    if workload == "W7":

        def infer() -> object:
            with torch.no_grad():
                return model(x)

        return infer
    if workload == "W1":
        optimizer = optim.Adam(model.parameters(), lr=1e-3, **({"fused": True} if fused else {}))
    else:
        optimizer = optim.SGD(model.parameters(), lr=1e-2)

    def step() -> object:
        optimizer.zero_grad()
        loss = cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _torch_fused(workload: str, device: str) -> Step:
    return _torch(workload, device, fused=True)


def _jax(workload: str, device: str) -> Step:
    import jax
    import jax.numpy as jnp

    sizes = NETWORKS[workload]
    generator = np.random.default_rng(1)
    weights = [
        (jnp.asarray(generator.standard_normal((n, m), np.float32) * n**-0.5), jnp.zeros(m))
        for n, m in pairwise(sizes)
    ]
    x, t = (jnp.asarray(array) for array in _batch(workload))

    def forward(weights, x):
        for w, b in weights[:-1]:
            x = jax.nn.relu(x @ w + b)
        w, b = weights[-1]
        return x @ w + b

    def loss(weights):
        return -jnp.mean(jax.nn.log_softmax(forward(weights, x))[jnp.arange(len(t)), t])

    if workload == "W7":
        infer = jax.jit(forward)
        return lambda: infer(weights, x).block_until_ready()

    @jax.jit
    def sgd(weights):
        return jax.tree.map(lambda p, g: p - 1e-2 * g, weights, jax.grad(loss)(weights))

    @jax.jit
    def adam(weights, m, v, k):
        g = jax.grad(loss)(weights)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)

        def move(p, m, v):
            return p - 1e-3 * (m / (1 - 0.9**k)) / (jnp.sqrt(v / (1 - 0.999**k)) + 1e-8)

        return jax.tree.map(move, weights, m, v), m, v, k + 1

    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = [(weights, zeros, zeros, jnp.float32(1)) if workload == "W1" else (weights,)]

    def step() -> object:
        state[0] = adam(*state[0]) if workload == "W1" else (sgd(*state[0]),)
        return jax.block_until_ready(state[0])

    return step


def _numpy(workload: str, device: str) -> Step:
    """By hand: the same network, its gradients and its optimizer, as one writes them in NumPy."""
    generator = np.random.default_rng(1)
    sizes = NETWORKS[workload]
    parameters = []
    for n, m in pairwise(sizes):
        parameters += [generator.standard_normal((n, m), np.float32) * n**-0.5, np.zeros(m, "f")]
    x, t = _batch(workload)
    rows = np.arange(len(t))
    moments = [[np.zeros_like(p) for p in parameters] for _ in range(2)]
    steps = [0]

    def forward() -> list[np.ndarray]:
        outputs = [x]
        for i in range(0, len(parameters), 2):
            z = outputs[-1] @ parameters[i] + parameters[i + 1]
            outputs.append(np.maximum(z, 0) if i + 2 < len(parameters) else z)
        return outputs

    def gradients() -> list[np.ndarray]:
        *outputs, z = forward()
        e = np.exp(z - z.max(1, keepdims=True))
        g = e / e.sum(1, keepdims=True)
        g[rows, t] -= 1
        g /= len(t)
        found: list[np.ndarray] = []
        for y, w in zip(reversed(outputs), reversed(parameters[::2]), strict=True):
            found[:0] = [y.T @ g, g.sum(0)]
            if y is not x:
                g = (g @ w.T) * (y > 0)
        return found

    def sgd() -> None:
        for p, g in zip(parameters, gradients(), strict=True):
            p -= 1e-2 * g

    def adam() -> None:
        steps[0] += 1
        k = steps[0]
        for p, g, m, v in zip(parameters, gradients(), *moments, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= 1e-3 * (m / (1 - 0.9**k)) / (np.sqrt(v / (1 - 0.999**k)) + 1e-8)

    if workload == "W7":
        return lambda: forward()[-1]
    return adam if workload == "W1" else sgd


_PREPARE: dict[str, Callable[[str, str], Step]] = {
    "gpunet": _gpunet,
    "torch": _torch,
    "torch-fused": _torch_fused,
    "jax": _jax,
    "numpy": _numpy,
}
