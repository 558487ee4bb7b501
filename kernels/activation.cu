// Activation functions, forward and backward, with the addition of a bias fused in.
//
//     NAME_fwd:  y  = f(x + bias)                NAME_bwd:  gx = f(gy, kept + bias)
//
// kept is what the forward pass kept: its output y where that says enough (relu, sigmoid, tanh,
// hardtanh; the bias is then none), otherwise its input x, and bias is that of the forward pass.
//
//     x, y, gy, kept, gx   (n,), in rows of `columns` elements; y may be x, gx may be gy or kept
//     bias                 (columns,), or null: none
//     columns              at least 1; n is a multiple of it where there is a bias
//
// Each thread owns the elements that GRID_STRIDE hands it, 16 bytes of each array at a time where
// all addresses and the rows allow it, otherwise single ones. Legal launches: any number of blocks;
// as many threads as the device holds at once is best.
// Bytes moved per element of s bytes: 2 s forward, 3 s backward, which is the least there is.
//
// Twins: gpunet/backend/cpu/activation.py, function by function. To add one, add its two kernels at
// the bottom: the lambda is the mathematics, in acc_t, and what is around it is always the same.

// ------------------------------------------------------------------------------------------------
// The loop

// Elements [start, stop), N at a time. Nothing is declared __restrict__: output may be an input.
template <int N, typename Formula>
__device__ void sweep(const T* gy, const T* x, const T* bias, T* out, long long start,
                      long long stop, long long columns, Formula formula) {
    // The column of an element is a 64-bit remainder, which costs more than most formulas. So it is
    // taken once; from then on the column moves with the index, around the end of the row.
    long long column = bias ? grid_thread() * N % columns : 0;
    const long long step = bias ? grid_threads() * N % columns : 0;
    GRID_STRIDE(k, (stop - start) / N) {
        const long long i = start + k * N;
        const Values<N> g = load<N>(gy + i);
        Values<N> v = load<N>(x + i);
        if (bias) {
            const Values<N> b = load<N>(bias + column);
#pragma unroll
            for (int m = 0; m < N; ++m) v.at[m] += b.at[m];
            column += step;
            column -= column >= columns ? columns : 0;
        }
#pragma unroll
        for (int m = 0; m < N; ++m) v.at[m] = formula(g.at[m], v.at[m]);
        store<N>(out + i, v);
    }
}

template <typename Formula>
__device__ void backward(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                         long long columns, Formula formula) {
    const bool aligned =
        is_aligned(gy) && is_aligned(kept) && is_aligned(bias) && is_aligned(gx);
    const bool whole_rows = !bias || columns % WIDE == 0;  // no 16 bytes reach over a row's end
    const long long wide = aligned && whole_rows ? n / WIDE * WIDE : 0;
    sweep<WIDE>(gy, kept, bias, gx, 0, wide, columns, formula);
    sweep<1>(gy, kept, bias, gx, wide, n, columns, formula);  // with a bias: all of it or nothing
}

template <typename Formula>
__device__ void forward(const T* x, const T* bias, T* y, long long n, long long columns,
                        Formula formula) {
    // The same loop with no gradient to read: x stands in for it, and the compiler loads it once.
    const auto ignore_gradient = [=](acc_t, acc_t x) { return formula(x); };
    backward(x, x, bias, y, n, columns, ignore_gradient);
}

// ------------------------------------------------------------------------------------------------
// The functions. In a formula x is the input with its bias, y the output, gy the gradient of y.

__device__ acc_t sigmoid(acc_t x) { return 1 / (1 + exp(-x)); }

// y = x: a bias alone. It is its own gradient.
KERNEL(identity_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) { return x; });
}

// y = max(x, 0).
KERNEL(relu_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    // Written so that NaN, which is not <= 0, stays NaN.
    forward(x, bias, y, n, columns, [](acc_t x) { return x <= 0 ? 0 : x; });
}

// gx = gy where y > 0, else 0.
KERNEL(relu_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                 long long columns) {
    backward(gy, kept, bias, gx, n, columns, [](acc_t gy, acc_t y) { return y <= 0 ? 0 : gy; });
}

// y = x above 0, negative_slope x up to 0.
KERNEL(leaky_relu_fwd)(const T* x, const T* bias, T* y, long long n, long long columns,
                       acc_t negative_slope) {
    forward(x, bias, y, n, columns, [=](acc_t x) { return x > 0 ? x : negative_slope * x; });
}

// gx = gy above 0, negative_slope gy up to 0.
KERNEL(leaky_relu_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                       long long columns, acc_t negative_slope) {
    backward(gy, kept, bias, gx, n, columns,
             [=](acc_t gy, acc_t x) { return x > 0 ? gy : negative_slope * gy; });
}

// ELU, SELU and CELU: y = alpha (e^(stretch x) - 1) up to 0, scale x above.
KERNEL(elu_fwd)(const T* x, const T* bias, T* y, long long n, long long columns, acc_t alpha,
                acc_t scale, acc_t stretch) {
    // expm1 is e^x - 1 without the cancellation near 0.
    forward(x, bias, y, n, columns,
            [=](acc_t x) { return x > 0 ? scale * x : alpha * expm1(stretch * x); });
}

// gx = gy alpha stretch e^(stretch x) up to 0, gy scale above.
KERNEL(elu_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n, long long columns,
                acc_t alpha, acc_t scale, acc_t stretch) {
    backward(gy, kept, bias, gx, n, columns, [=](acc_t gy, acc_t x) {
        return gy * (x > 0 ? scale : alpha * stretch * exp(stretch * x));
    });
}

// y = 1 / (1 + e^-x).
KERNEL(sigmoid_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) { return sigmoid(x); });
}

// gx = gy y (1 - y).
KERNEL(sigmoid_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                    long long columns) {
    backward(gy, kept, bias, gx, n, columns, [](acc_t gy, acc_t y) { return gy * y * (1 - y); });
}

// y = tanh(x).
KERNEL(tanh_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) { return tanh(x); });
}

// gx = gy (1 - y^2).
KERNEL(tanh_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n, long long columns) {
    backward(gy, kept, bias, gx, n, columns, [](acc_t gy, acc_t y) { return gy * (1 - y * y); });
}

// GELU: y = x F(x), F the normal distribution function. 0.7071... is 1/sqrt(2).
KERNEL(gelu_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) {
        return C(0.5) * x * (1 + erf(x * C(0.7071067811865476)));
    });
}

// gx = gy (F(x) + x F'(x)). 0.3989... is 1/sqrt(2 pi).
KERNEL(gelu_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n, long long columns) {
    backward(gy, kept, bias, gx, n, columns, [](acc_t gy, acc_t x) {
        const acc_t distribution = C(0.5) * (1 + erf(x * C(0.7071067811865476)));
        const acc_t density = C(0.3989422804014327) * exp(C(-0.5) * x * x);
        return gy * (distribution + x * density);
    });
}

// GELU's approximation: y = x (1 + tanh u) / 2, which is x sigmoid(2u); 1.5957... is 2 sqrt(2 /
// pi).
KERNEL(gelu_tanh_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) {
        return x * sigmoid(C(1.5957691216057308) * (x + C(0.044715) * x * x * x));
    });
}

// gx = gy s (1 + x (2u)' (1 - s)), s = sigmoid(2u).
KERNEL(gelu_tanh_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                      long long columns) {
    backward(gy, kept, bias, gx, n, columns, [](acc_t gy, acc_t x) {
        // Beyond 10 the slope is 0 or 1 to the last bit. Written so that NaN stays NaN.
        const acc_t c = x < -10 ? C(-10) : x > 10 ? C(10) : x;
        const acc_t u = C(1.5957691216057308) * (c + C(0.044715) * c * c * c);
        const acc_t slope = C(1.5957691216057308) * (1 + C(0.134145) * c * c);
        // 1 - sigmoid(u) is sigmoid(-u), without cancellation and without the overflow of e^-u.
        return gy * sigmoid(u) * (1 + c * slope * sigmoid(-u));
    });
}

// SiLU: y = x sigmoid(x).
KERNEL(silu_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) { return x * sigmoid(x); });
}

// gx = gy s (1 + x (1 - s)), s = sigmoid(x).
KERNEL(silu_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n, long long columns) {
    backward(gy, kept, bias, gx, n, columns,
             [](acc_t gy, acc_t x) { return gy * sigmoid(x) * (1 + x * sigmoid(-x)); });
}

// y = log(1 + e^(beta x)) / beta, x itself where beta x > threshold.
KERNEL(softplus_fwd)(const T* x, const T* bias, T* y, long long n, long long columns, acc_t beta,
                     acc_t threshold) {
    // log(1 + e^z) = max(z, 0) + log(1 + e^-|z|): no overflow, and log1p keeps the smallest values.
    forward(x, bias, y, n, columns, [=](acc_t x) {
        const acc_t z = beta * x;
        return z > threshold ? x : (fmax(z, C(0)) + log1p(exp(-fabs(z)))) / beta;
    });
}

// gx = gy sigmoid(beta x), gy itself where beta x > threshold.
KERNEL(softplus_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                     long long columns, acc_t beta, acc_t threshold) {
    backward(gy, kept, bias, gx, n, columns, [=](acc_t gy, acc_t x) {
        const acc_t z = beta * x;
        return z > threshold ? gy : gy * sigmoid(z);
    });
}

// y = log(sigmoid(x)).
KERNEL(logsigmoid_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) { return fmin(x, C(0)) - log1p(exp(-fabs(x))); });
}

// gx = gy sigmoid(-x).
KERNEL(logsigmoid_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                       long long columns) {
    backward(gy, kept, bias, gx, n, columns, [](acc_t gy, acc_t x) { return gy * sigmoid(-x); });
}

// y = x / (1 + |x|).
KERNEL(softsign_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) { return x / (1 + fabs(x)); });
}

// gx = gy / (1 + |x|)^2.
KERNEL(softsign_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                     long long columns) {
    backward(gy, kept, bias, gx, n, columns, [](acc_t gy, acc_t x) {
        const acc_t d = 1 / (1 + fabs(x));
        return gy * d * d;
    });
}

// y = x - tanh(x).
KERNEL(tanhshrink_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) { return x - tanh(x); });
}

// gx = gy tanh(x)^2.
KERNEL(tanhshrink_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                       long long columns) {
    backward(gy, kept, bias, gx, n, columns, [](acc_t gy, acc_t x) {
        const acc_t t = tanh(x);
        return gy * t * t;
    });
}

// Mish: y = x tanh(softplus(x)). With e = e^x and m = e (e + 2) the tanh is m / (m + 2). Beyond x
// = 20 it is 1 to the last bit; stopping e there keeps it finite.
KERNEL(mish_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) {
        const acc_t e = exp(fmin(x, C(20))), m = e * (e + 2);
        return x * (m / (m + 2));
    });
}

// gx = gy (m + 4 x e (e + 1) / (m + 2)) / (m + 2), since m' is 2 e (e + 1).
KERNEL(mish_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n, long long columns) {
    backward(gy, kept, bias, gx, n, columns, [](acc_t gy, acc_t x) {
        const acc_t e = exp(fmin(x, C(20))), m = e * (e + 2), d = 1 / (m + 2);
        return x > 20 ? gy : gy * d * (m + 4 * (x * e) * (e + 1) * d);
    });
}

// Piecewise linear. A NaN fails every comparison: forward it stays NaN, backward, as in PyTorch, it
// counts as flat.

// y = 1 above 0, else 0. Its gradient is 0.
KERNEL(step_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) { return x > 0 ? 1 : 0; });
}

// y = x above limit, else value.
KERNEL(threshold_fwd)(const T* x, const T* bias, T* y, long long n, long long columns,
                      acc_t limit, acc_t value) {
    forward(x, bias, y, n, columns, [=](acc_t x) { return x <= limit ? value : x; });
}

// gx = gy where x > limit, else 0.
KERNEL(threshold_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                      long long columns, acc_t limit) {
    backward(gy, kept, bias, gx, n, columns,
             [=](acc_t gy, acc_t x) { return x <= limit ? 0 : gy; });
}

// y = x, but low at least and high at most.
KERNEL(hardtanh_fwd)(const T* x, const T* bias, T* y, long long n, long long columns, acc_t low,
                     acc_t high) {
    forward(x, bias, y, n, columns, [=](acc_t x) { return x < low ? low : x > high ? high : x; });
}

// gx = gy where low < y < high, else 0.
KERNEL(hardtanh_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                     long long columns, acc_t low, acc_t high) {
    backward(gy, kept, bias, gx, n, columns,
             [=](acc_t gy, acc_t y) { return y > low && y < high ? gy : 0; });
}

// y = (x + 3) / 6, but 0 at least and 1 at most.
KERNEL(hardsigmoid_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) { return x < -3 ? 0 : x > 3 ? 1 : (x + 3) / 6; });
}

// gx = gy / 6 where -3 < x < 3, else 0.
KERNEL(hardsigmoid_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                        long long columns) {
    backward(gy, kept, bias, gx, n, columns,
             [](acc_t gy, acc_t x) { return x > -3 && x < 3 ? gy / 6 : 0; });
}

// y = x hardsigmoid(x).
KERNEL(hardswish_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns,
            [](acc_t x) { return x * (x < -3 ? 0 : x > 3 ? 1 : (x + 3) / 6); });
}

// gx = 0 up to -3, gy from 3 on, gy (x / 3 + 1/2) between.
KERNEL(hardswish_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                      long long columns) {
    backward(gy, kept, bias, gx, n, columns,
             [](acc_t gy, acc_t x) { return x <= -3 ? 0 : x >= 3 ? gy : gy * (x / 3 + C(0.5)); });
}

// y = x moved by lambd towards 0, and not beyond.
KERNEL(softshrink_fwd)(const T* x, const T* bias, T* y, long long n, long long columns,
                       acc_t lambd) {
    forward(x, bias, y, n, columns,
            [=](acc_t x) { return fabs(x) <= lambd ? 0 : x > 0 ? x - lambd : x + lambd; });
}

// y = x where |x| > lambd, else 0.
KERNEL(hardshrink_fwd)(const T* x, const T* bias, T* y, long long n, long long columns,
                       acc_t lambd) {
    forward(x, bias, y, n, columns, [=](acc_t x) { return fabs(x) <= lambd ? 0 : x; });
}

// Of softshrink and hardshrink: gx = gy where |x| > lambd, else 0.
KERNEL(shrink_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                   long long columns, acc_t lambd) {
    backward(gy, kept, bias, gx, n, columns,
             [=](acc_t gy, acc_t x) { return fabs(x) > lambd ? gy : 0; });
}

// The error function: y = erf(x). Its gradient needs nothing but exp.
KERNEL(erf_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) { return erf(x); });
}

// What it lacks to 1: y = erfc(x).
KERNEL(erfc_fwd)(const T* x, const T* bias, T* y, long long n, long long columns) {
    forward(x, bias, y, n, columns, [](acc_t x) { return erfc(x); });
}
