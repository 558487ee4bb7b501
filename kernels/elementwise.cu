// Elementwise arithmetic of large arrays, 16 bytes at a time.
//
//     NAME_fwd:  z = f(x)  or  z = f(x, y)
//
//     x, y, z   (n,); z may be x or y
//     number    stands in the place of x or y, whichever is null, and is a value of T: NumPy rounds
//               a number to the dtype of the array that it meets before it computes
//
// Each thread owns the elements that GRID_STRIDE hands it, 16 bytes of each array at a time where
// all addresses allow it, otherwise single ones. Legal launches: any number of blocks; as many
// threads as the device holds at once is best.
// Bytes moved per element of s bytes: 2 s of one array, 3 s of two, which is the least there is.
//
// Twins: gpunet/backend/cpu/elementwise.py, which hands out NumPy's functions: a kernel NAME_fwd is
// NumPy's NAME, with its answers to NaN, infinities and zeros of either sign.

// ------------------------------------------------------------------------------------------------
// The loop

// Elements [start, stop), N at a time. Nothing is declared __restrict__: z may be an input.
template <int N, typename Formula>
__device__ void sweep(const T* x, const T* y, T* z, long long start, long long stop,
                      Formula formula) {
    GRID_STRIDE(k, (stop - start) / N) {
        const long long i = start + k * N;
        Values<N> a = load<N>(x + i);
        const Values<N> b = load<N>(y + i);
#pragma unroll
        for (int m = 0; m < N; ++m) a.at[m] = formula(a.at[m], b.at[m]);
        store<N>(z + i, a);
    }
}

template <typename Formula>
__device__ void of_two(const T* x, const T* y, T* z, long long n, Formula formula) {
    const bool aligned = is_aligned(x) && is_aligned(y) && is_aligned(z);
    const long long wide = aligned ? n / WIDE * WIDE : 0;
    sweep<WIDE>(x, y, z, 0, wide, formula);
    sweep<1>(x, y, z, wide, n, formula);
}

template <typename Formula>
__device__ void unary(const T* x, T* z, long long n, Formula formula) {
    // The same loop with no second array: x stands in for it, and the compiler loads it once.
    of_two(x, x, z, n, [=](acc_t x, acc_t) { return formula(x); });
}

template <typename Formula>
__device__ void binary(const T* x, const T* y, T* z, long long n, acc_t number, Formula formula) {
    // A loop for each, chosen once: each has all its loads at the top.
    if (!x)
        unary(y, z, n, [=](acc_t y) { return formula(number, y); });
    else if (!y)
        unary(x, z, n, [=](acc_t x) { return formula(x, number); });
    else
        of_two(x, y, z, n, formula);
}

// ------------------------------------------------------------------------------------------------
// Two operands

// z = x + y.
KERNEL(add_fwd)(const T* x, const T* y, T* z, long long n, acc_t number) {
    binary(x, y, z, n, number, [](acc_t x, acc_t y) { return x + y; });
}

// z = x - y.
KERNEL(subtract_fwd)(const T* x, const T* y, T* z, long long n, acc_t number) {
    binary(x, y, z, n, number, [](acc_t x, acc_t y) { return x - y; });
}

// z = x y.
KERNEL(multiply_fwd)(const T* x, const T* y, T* z, long long n, acc_t number) {
    binary(x, y, z, n, number, [](acc_t x, acc_t y) { return x * y; });
}

// z = x / y.
KERNEL(divide_fwd)(const T* x, const T* y, T* z, long long n, acc_t number) {
    binary(x, y, z, n, number, [](acc_t x, acc_t y) { return x / y; });
}

// The larger and the smaller of two. What is not x is y, so a NaN in y stays; one in x is asked
// for, because it fails every comparison. (fmax and fmin drop it.) Of 0 and -0 it is x.

// z = max(x, y).
KERNEL(maximum_fwd)(const T* x, const T* y, T* z, long long n, acc_t number) {
    binary(x, y, z, n, number, [](acc_t x, acc_t y) { return x >= y || x != x ? x : y; });
}

// z = min(x, y).
KERNEL(minimum_fwd)(const T* x, const T* y, T* z, long long n, acc_t number) {
    binary(x, y, z, n, number, [](acc_t x, acc_t y) { return x <= y || x != x ? x : y; });
}

// ------------------------------------------------------------------------------------------------
// One operand

// z = -x.
KERNEL(negative_fwd)(const T* x, T* z, long long n) {
    unary(x, z, n, [](acc_t x) { return -x; });
}

// z = |x|.
KERNEL(absolute_fwd)(const T* x, T* z, long long n) {
    unary(x, z, n, [](acc_t x) { return fabs(x); });
}

// z = x^2.
KERNEL(square_fwd)(const T* x, T* z, long long n) {
    unary(x, z, n, [](acc_t x) { return x * x; });
}

// z = 1 / x.
KERNEL(reciprocal_fwd)(const T* x, T* z, long long n) {
    unary(x, z, n, [](acc_t x) { return 1 / x; });
}

// z = sqrt(x): NaN below 0, but -0 of -0.
KERNEL(sqrt_fwd)(const T* x, T* z, long long n) {
    unary(x, z, n, [](acc_t x) { return sqrt(x); });
}

// z = e^x.
KERNEL(exp_fwd)(const T* x, T* z, long long n) {
    unary(x, z, n, [](acc_t x) { return exp(x); });
}

// z = log(x): -infinity at 0, NaN below.
KERNEL(log_fwd)(const T* x, T* z, long long n) {
    unary(x, z, n, [](acc_t x) { return log(x); });
}
