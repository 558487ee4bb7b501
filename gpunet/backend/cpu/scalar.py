"""Transcendental functions that LLVM can turn into vector code.

The C library's `expf` and friends are calls, one element at a time. The float32 versions here are
branch-free polynomials, so a loop over them runs on 8 or 16 elements at once (ten to fifty times
faster). The float64 versions are the C library's: float64 serves checks, not speed.

Accuracy of the float32 versions over all floats (tests/backend/test_scalar.py): at most 1.1 ulp for
exp, 0.9 for log, 2.5 for sigmoid, 4.9 for tanh and 7.5 for erf. For |x| < 2^-118 tanh and erf are
only within the smallest normal float; exp is 0 below 2^-125.5, where a GPU would still have half a
binade.

NaN goes through them by itself, since `min(max(x, a), b)` lets it pass. To choose x in the end
would make a loop that works in place one of masked stores, which take as long as all of exp.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpunet.backend.cpu.jit import ByDtype, T, kernel

_INFINITY, _NAN = np.float32(np.inf), np.float32(np.nan)


@kernel(inline=True)
def _exp_small(r):
    """e^r − 1 on |r| <= ln 2 / 2: Cephes' polynomial."""
    p = 1.9875691500e-4
    p = p * r + 1.3981999507e-3
    p = p * r + 8.3334519073e-3
    p = p * r + 4.1665795894e-2
    p = p * r + 1.6666665459e-1
    p = p * r + 5.0000001201e-1
    return p * r * r + r


@kernel(inline=True)
def _exp_parts(x):
    """e^r and 1.5·2^23 + n, whose low bits are n = round(x / ln 2); r = x − n·ln 2."""
    t = x * 1.44269504 + 12582912.0
    n = t - 12582912.0
    r = x - n * 0.693359375
    r = r - n * -2.12194440e-4  # ln 2 in two parts, the first exact in few bits
    return _exp_small(r) + 1.0, t


@kernel(inline=True)
def _exp(x):
    """2^n · e^r; subnormal results are flushed, as on a GPU."""
    p, t = _exp_parts(min(max(x, -87.33654), 88.72283))
    half = (T(t).view(np.int32) + np.int32(126)) << np.int32(23)  # 2^(n-1): n may be 128
    y = (p + p) * np.int32(half).view(T)
    y = _INFINITY if x > 88.72283 else y
    return 0.0 if x < -87.33654 else y


@kernel(inline=True)
def _exp_gradual(x):
    """e^x, with subnormal results: 2^n in two factors, each of them a normal number."""
    p, t = _exp_parts(min(max(x, -104.0), 88.72283))
    n = T(t).view(np.int32) - np.int32(0x4B400000)
    half = n >> np.int32(1)
    first = (half + np.int32(127)) << np.int32(23)
    second = (n - half + np.int32(127)) << np.int32(23)
    y = p * np.int32(first).view(T) * np.int32(second).view(T)
    return _INFINITY if x > 88.72283 else y


@kernel(inline=True)
def _expm1(x):
    """e^x − 1, exact also where e^x is nearly 1."""
    small = _exp_small(min(max(x, -0.34657359), 0.34657359))
    y = _exp(x) - 1.0
    return small if abs(x) < 0.34657359 else y


@kernel(inline=True)
def _log(x):
    """e·ln 2 + ln m with x = m·2^e, m in [√½, √2); Cephes' polynomial. For x > 0 and normal."""
    bits = T(x).view(np.int32) - np.int32(0x3F3504F3)  # √½
    e = T(bits >> np.int32(23))
    m = np.int32((bits & np.int32(0x7FFFFF)) + np.int32(0x3F3504F3)).view(T) - 1.0
    p = 7.0376836292e-2
    p = p * m - 1.1514610310e-1
    p = p * m + 1.1676998740e-1
    p = p * m - 1.2420140846e-1
    p = p * m + 1.4249322787e-1
    p = p * m - 1.6668057665e-1
    p = p * m + 2.0000714765e-1
    p = p * m - 2.4999993993e-1
    p = p * m + 3.3333331174e-1
    z = m * m
    y = p * m * z + e * -2.12194440e-4 - 0.5 * z
    y = m + y + e * 0.693359375
    return y if x == x else x


@kernel(inline=True)
def _log_anywhere(x):
    """log x for any x; subnormal ones are scaled up first."""
    tiny = x < 1.17549435e-38
    y = _log(x * 33554432.0 if tiny else x)  # 2^25
    y = y - 17.3286795 if tiny else y
    y = y if x < _INFINITY else x
    y = y if x > 0.0 else -_INFINITY
    return y if x >= 0.0 else _NAN


@kernel(inline=True)
def _log1p(x):
    """log(1 + x) for x >= 0: x / (u − 1) makes up for what rounding u = 1 + x took away."""
    u = 1.0 + x
    y = _log(u) * (x / (u - 1.0))
    return y if u > 1.0 else x


@kernel(inline=True)
def _tanh(x):
    """A rational minimax approximation on |x| <= 7.9, beyond which float32's tanh is ±1."""
    c = min(max(x, -7.90531110763549805), 7.90531110763549805)
    s = c * c
    p = -2.76076847742355e-16
    p = p * s + 2.00018790482477e-13
    p = p * s + -8.60467152213735e-11
    p = p * s + 5.12229709037114e-08
    p = p * s + 1.48572235717979e-05
    p = p * s + 6.37261928875436e-04
    p = p * s + 4.89352455891786e-03
    q = 1.19825839466702e-06
    q = q * s + 1.18534705686654e-04
    q = q * s + 2.26843463243900e-03
    q = q * s + 4.89352518554385e-03
    y = c * p / q
    return y if abs(x) < 7.90531110763549805 else c / abs(c)  # exactly ±1, so that the slope is 0


@kernel(inline=True)
def _erf(x):
    """A rational minimax approximation on |x| <= 4, beyond which float32's erf is ±1."""
    c = min(max(x, -4.0), 4.0)
    s = c * c
    p = -2.72614225801306e-10
    p = p * s + 2.77068142495902e-08
    p = p * s + -2.10102402082508e-06
    p = p * s + -5.69250639462346e-05
    p = p * s + -7.34990630326855e-04
    p = p * s + -2.95459980854025e-03
    p = p * s + -1.60960333262415e-02
    q = -1.45660718464996e-05
    q = q * s + -2.13374055278905e-04
    q = q * s + -1.68282697438203e-03
    q = q * s + -7.37332916720468e-03
    q = q * s + -1.42647390514189e-02
    return min(max(c * p / q, -1.0), 1.0)


exp: Any = ByDtype(float32=_exp, float64=math.exp)
expm1: Any = ByDtype(float32=_expm1, float64=math.expm1)
# Right everywhere, which the functions of the kernels need not be.
exp_gradual: Any = ByDtype(float32=_exp_gradual, float64=math.exp)
log_anywhere: Any = ByDtype(float32=_log_anywhere, float64=math.log)
log: Any = ByDtype(float32=_log, float64=math.log)
log1p: Any = ByDtype(float32=_log1p, float64=math.log1p)
tanh: Any = ByDtype(float32=_tanh, float64=math.tanh)
erf: Any = ByDtype(float32=_erf, float64=math.erf)
erfc: Any = ByDtype(float32=math.erfc, float64=math.erfc)  # rare, and its tail wants many terms


@kernel(inline=True)
def sigmoid(x):
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + exp(-x))
