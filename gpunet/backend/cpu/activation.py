"""Activation functions: a scalar formula each, forward and backward.

The loops, with an optional bias added on the way, come from `pointwise`. `y` in a backward formula
is the output of the forward pass, `x` its input; each keeps whichever is cheaper.
CUDA twins: kernels/activation.cu.
"""

from __future__ import annotations

from gpunet.backend.cpu.pointwise import backward, forward
from gpunet.backend.cpu.scalar import erf, erfc, exp, expm1, log1p, sigmoid, tanh


@forward
def identity_fwd(x):
    return x


@forward
def relu_fwd(x):
    return 0.0 if x <= 0.0 else x  # written so that NaN stays NaN


@backward
def relu_bwd(gy, y):
    return 0.0 if y <= 0.0 else gy


@forward
def leaky_relu_fwd(x, negative_slope):
    return x if x > 0.0 else negative_slope * x


@backward
def leaky_relu_bwd(gy, x, negative_slope):
    return gy if x > 0.0 else negative_slope * gy


@forward
def elu_fwd(x, alpha, scale, stretch):
    return scale * x if x > 0.0 else alpha * expm1(stretch * x)


@backward
def elu_bwd(gy, x, alpha, scale, stretch):
    return gy * (scale if x > 0.0 else alpha * stretch * exp(stretch * x))


@forward
def sigmoid_fwd(x):
    return sigmoid(x)


@backward
def sigmoid_bwd(gy, y):
    return gy * y * (1.0 - y)


@forward
def tanh_fwd(x):
    return tanh(x)


@backward
def tanh_bwd(gy, y):
    return gy * (1.0 - y * y)


@forward
def gelu_fwd(x):
    return 0.5 * x * (1.0 + erf(x * 0.7071067811865476))


@backward
def gelu_bwd(gy, x):
    density = 0.3989422804014327 * exp(-0.5 * x * x)
    return gy * (0.5 * (1.0 + erf(x * 0.7071067811865476)) + x * density)


@forward
def gelu_tanh_fwd(x):
    # ½ (1 + tanh u) = σ(2u)
    return x * sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))


@backward
def gelu_tanh_bwd(gy, x):
    c = min(max(x, -10.0), 10.0)  # beyond, the slope is 0 or 1 to the last bit
    e = exp(-1.5957691216057308 * (c + 0.044715 * c * c * c))
    s = 1.0 / (1.0 + e)
    slope = 1.5957691216057308 * (1.0 + 0.134145 * c * c)
    return gy * s * (1.0 + c * slope * (e * s))  # e·s = 1 − s without the cancellation


@forward
def silu_fwd(x):
    return x * sigmoid(x)


@backward
def silu_bwd(gy, x):
    c = max(x, -80.0)  # below, the slope is 0, and e would overflow
    e = exp(-c)
    s = 1.0 / (1.0 + e)
    return gy * s * (1.0 + c * (e * s))


@forward
def softplus_fwd(x, beta, threshold):
    # log(1 + e^z) = max(z, 0) + log(1 + e^-|z|): no overflow, and log1p keeps the smallest values
    z = beta * x
    y = (max(z, 0.0) + log1p(exp(-abs(z)))) / beta
    return x if z > threshold else y


@backward
def softplus_bwd(gy, x, beta, threshold):
    z = beta * x
    return gy if z > threshold else gy * sigmoid(z)


@forward
def logsigmoid_fwd(x):
    return min(x, 0.0) - log1p(exp(-abs(x)))


@backward
def logsigmoid_bwd(gy, x):
    return gy * sigmoid(-x)


@forward
def softsign_fwd(x):
    return x / (1.0 + abs(x))


@backward
def softsign_bwd(gy, x):
    d = 1.0 / (1.0 + abs(x))
    return gy * d * d


@forward
def tanhshrink_fwd(x):
    return x - tanh(x)


@backward
def tanhshrink_bwd(gy, x):
    t = tanh(x)
    return gy * t * t


@forward
def mish_fwd(x):
    # tanh(softplus x) = n / (n + 2) with n = e^x (e^x + 2); beyond x = 20 it is 1 to the last bit
    e = exp(min(x, 20.0))
    n = e * (e + 2.0)
    return x * (n / (n + 2.0))


@backward
def mish_bwd(gy, x):
    e = exp(min(x, 20.0))
    n = e * (e + 2.0)
    d = 1.0 / (n + 2.0)
    slope = d * (n + 4.0 * (n + 1.0) * d * (x * e / (1.0 + e)))
    return gy if x > 20.0 else gy * slope


# Piecewise linear. A NaN fails every comparison: forward it stays NaN, backward, as in PyTorch, it
# counts as flat.


@forward
def step_fwd(x):
    return 1.0 if x > 0.0 else 0.0


@forward
def threshold_fwd(x, limit, value):
    return value if x <= limit else x


@backward
def threshold_bwd(gy, x, limit):
    return 0.0 if x <= limit else gy


@forward
def hardtanh_fwd(x, low, high):
    y = high if x > high else x
    return low if x < low else y


@backward
def hardtanh_bwd(gy, y, low, high):
    return gy if y > low and y < high else 0.0


@forward
def hardsigmoid_fwd(x):
    y = 1.0 if x > 3.0 else (x + 3.0) / 6.0
    return 0.0 if x < -3.0 else y


@backward
def hardsigmoid_bwd(gy, x):
    return gy / 6.0 if x > -3.0 and x < 3.0 else 0.0


@forward
def hardswish_fwd(x):
    y = 1.0 if x > 3.0 else (x + 3.0) / 6.0
    return x * (0.0 if x < -3.0 else y)


@backward
def hardswish_bwd(gy, x):
    y = gy if x >= 3.0 else gy * (x / 3.0 + 0.5)
    return 0.0 if x <= -3.0 else y


@forward
def softshrink_fwd(x, lambd):
    y = x - lambd if x > 0.0 else x + lambd
    return 0.0 if abs(x) <= lambd else y


@forward
def hardshrink_fwd(x, lambd):
    return 0.0 if abs(x) <= lambd else x


@backward
def shrink_bwd(gy, x, lambd):
    return gy if abs(x) > lambd else 0.0


@forward
def erf_fwd(x):
    return erf(x)


@forward
def erfc_fwd(x):
    return erfc(x)
