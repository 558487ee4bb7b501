// The cells of recurrent layers: one step of all sequences, forward and backward.
//
//     rnn     h = tanh(a), or max(a, 0)
//     lstm    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of the parts of a
//             c = f c + i g,  h = o tanh(c)
//     gru     r, u = sigmoid of the first two parts of a;  q = the third part of the product and
//             its bias;  n = tanh(the third part of z + bias + r q);  h = (1 - u) n + u h
//
// a = z + product + bias. The products are cuBLAS's: z = x W_ih' of all steps is made at once
// before the first step, product = h W_hh' of one step before its cell. A cell is all that is left
// between two products, one launch; the gradients of the weights are one product each, after the
// last step.
//
//     z, gates      (batch, G units), G = 1, 4 or 3 parts; the gates take the place of z
//     product       like z, or null: 0. Backward it is gz W_hh of the step that came just before,
//                   (batch, units): what flows back through that product
//     bias          (G units,), or null: 0. gru: (4 units,), the last part is that of q
//     lengths       (batch,), or null. Sequence n has the steps t < lengths[n]; at all others its
//                   state stays, its y is 0 and its gz too
//     h, c          (batch, units), the state: read, and written in place
//     y, cells, q   (batch, units), what becomes of h, c and q at this step, kept for backward
//     gh, gc        (batch, units), gradients of the state, in place: of the one after this step
//                   before, of the one before it after, without what goes through the product
//     gy, gz        gradients of y (null: 0) and of z; gru: (batch, 4 units), of r, u, n and q
//
// A thread owns one unit of one sequence, in all parts, and loops on over the grid. Nothing is
// shared and nothing summed. Legal launches: any number of blocks.
// Bytes moved per element of s bytes (one unit of one sequence): rnn 4 s forward and 4 s backward,
// lstm 15 s and 12 s, gru 11 s and 13 s. What counts at these sizes is the launch.
//
// Twins: gpunet/backend/cpu/recurrent.py, which go through all steps at once.

__device__ acc_t sigmoid(acc_t x) { return 1 / (1 + exp(-x)); }

__device__ bool goes_on(const long long* lengths, long long n, long long t) {
    return !lengths || t < lengths[n];
}

__device__ acc_t or_zero(const T* x, long long i) { return x ? acc_t(x[i]) : 0; }

// One unit of one sequence: unit j of sequence n is element i of a state. Part k of z is at
// part(k), of a bias at bias(k).
struct Unit {
    long long i, n, j, units, parts;

    __device__ Unit(long long i, long long units, long long parts)
        : i(i), n(i / units), j(i % units), units(units), parts(parts) {}
    __device__ long long part(long long k) const { return (n * parts + k) * units + j; }
    __device__ long long bias(long long k) const { return k * units + j; }

    // Part k of a.
    __device__ acc_t sum(const T* z, const T* product, const T* b, long long k) const {
        return acc_t(z[part(k)]) + or_zero(product, part(k)) + or_zero(b, bias(k));
    }
};

// ------------------------------------------------------------------------------------------------
// RNN

KERNEL(rnn_fwd)(const T* z, const T* product, const T* bias, const long long* lengths, T* h, T* y,
                long long t, long long batch, long long units, bool relu) {
    GRID_STRIDE(i, batch * units) {
        const Unit unit(i, units, 1);
        if (!goes_on(lengths, unit.n, t)) {
            y[i] = T(0);
            continue;
        }
        const acc_t a = unit.sum(z, product, bias, 0);
        h[i] = y[i] = T(relu ? (a <= 0 ? 0 : a) : tanh(a));  // NaN stays NaN
    }
}

KERNEL(rnn_bwd)(const T* gy, const T* product, const T* y, const long long* lengths, acc_t* gh,
                T* gz, long long t, long long batch, long long units, bool relu) {
    GRID_STRIDE(i, batch * units) {
        const acc_t g = gh[i] + or_zero(product, i);
        if (!goes_on(lengths, i / units, t)) {
            gh[i] = g;
            gz[i] = T(0);
            continue;
        }
        const acc_t h = acc_t(y[i]), slope = relu ? acc_t(!(h <= 0)) : 1 - h * h;
        gz[i] = T((g + or_zero(gy, i)) * slope);
        gh[i] = 0;
    }
}

// ------------------------------------------------------------------------------------------------
// LSTM

KERNEL(lstm_fwd)(T* z, const T* product, const T* bias, const long long* lengths, T* h, acc_t* c,
                 T* y, T* cells, long long t, long long batch, long long units) {
    GRID_STRIDE(k, batch * units) {
        const Unit unit(k, units, 4);
        if (!goes_on(lengths, unit.n, t)) {
            y[k] = T(0);
            cells[k] = T(c[k]);
            continue;
        }
        const acc_t i = sigmoid(unit.sum(z, product, bias, 0));
        const acc_t f = sigmoid(unit.sum(z, product, bias, 1));
        const acc_t g = tanh(unit.sum(z, product, bias, 2));
        const acc_t o = sigmoid(unit.sum(z, product, bias, 3));
        z[unit.part(0)] = T(i);
        z[unit.part(1)] = T(f);
        z[unit.part(2)] = T(g);
        z[unit.part(3)] = T(o);
        c[k] = f * c[k] + i * g;
        cells[k] = T(c[k]);
        h[k] = y[k] = T(o * tanh(c[k]));
    }
}

KERNEL(lstm_bwd)(const T* gy, const T* product, const T* gates, const T* cells, const T* before,
                 const long long* lengths, acc_t* gh, acc_t* gc, T* gz, long long t,
                 long long batch, long long units) {
    // before: c of the step before, null for zeros.
    GRID_STRIDE(k, batch * units) {
        const Unit unit(k, units, 4);
        const acc_t g_all = gh[k] + or_zero(product, k);
        if (!goes_on(lengths, unit.n, t)) {
            gh[k] = g_all;
            for (int part = 0; part < 4; ++part) gz[unit.part(part)] = T(0);
            continue;
        }
        const acc_t i = acc_t(gates[unit.part(0)]), f = acc_t(gates[unit.part(1)]);
        const acc_t g = acc_t(gates[unit.part(2)]), o = acc_t(gates[unit.part(3)]);
        const acc_t gy_all = g_all + or_zero(gy, k), tc = tanh(acc_t(cells[k]));
        const acc_t gc_all = gc[k] + gy_all * o * (1 - tc * tc);
        gz[unit.part(0)] = T(gc_all * g * i * (1 - i));
        gz[unit.part(1)] = T(gc_all * or_zero(before, k) * f * (1 - f));
        gz[unit.part(2)] = T(gc_all * i * (1 - g * g));
        gz[unit.part(3)] = T(gy_all * tc * o * (1 - o));
        gc[k] = gc_all * f;
        gh[k] = 0;
    }
}

// ------------------------------------------------------------------------------------------------
// GRU

KERNEL(gru_fwd)(T* z, const T* product, const T* bias, const long long* lengths, T* h, T* y, T* q,
                long long t, long long batch, long long units) {
    GRID_STRIDE(i, batch * units) {
        const Unit unit(i, units, 3);
        if (!goes_on(lengths, unit.n, t)) {
            y[i] = T(0);
            continue;
        }
        const acc_t r = sigmoid(unit.sum(z, product, bias, 0));
        const acc_t u = sigmoid(unit.sum(z, product, bias, 1));
        const acc_t inner = or_zero(product, unit.part(2)) + or_zero(bias, unit.bias(3));
        const acc_t n = tanh(acc_t(z[unit.part(2)]) + or_zero(bias, unit.bias(2)) + r * inner);
        z[unit.part(0)] = T(r);
        z[unit.part(1)] = T(u);
        z[unit.part(2)] = T(n);
        q[i] = T(inner);
        h[i] = y[i] = T(n + u * (acc_t(h[i]) - n));
    }
}

KERNEL(gru_bwd)(const T* gy, const T* product, const T* gates, const T* q, const T* before,
                const T* h_0, const long long* lengths, acc_t* gh, T* gz, T* back, long long t,
                long long earlier, long long batch, long long units) {
    // before: y of step `earlier`, null if this step is the first of all; h_0: the first state,
    // null for zeros; back: (batch, 3 units), what the next product takes of gz: r, u and q.
    GRID_STRIDE(i, batch * units) {
        const Unit unit(i, units, 3), four(i, units, 4);
        const acc_t g_all = gh[i] + or_zero(product, i);
        if (!goes_on(lengths, unit.n, t)) {
            gh[i] = g_all;
            for (int part = 0; part < 4; ++part) gz[four.part(part)] = T(0);
            for (int part = 0; part < 3; ++part) back[unit.part(part)] = T(0);
            continue;
        }
        const bool first = !before || !goes_on(lengths, unit.n, earlier);
        const acc_t h = first ? or_zero(h_0, i) : acc_t(before[i]);
        const acc_t r = acc_t(gates[unit.part(0)]), u = acc_t(gates[unit.part(1)]);
        const acc_t n = acc_t(gates[unit.part(2)]), g = g_all + or_zero(gy, i);
        const acc_t gn = g * (1 - u) * (1 - n * n), gu = g * (h - n) * u * (1 - u);
        const acc_t gr = gn * acc_t(q[i]) * r * (1 - r);
        gz[four.part(0)] = back[unit.part(0)] = T(gr);
        gz[four.part(1)] = back[unit.part(1)] = T(gu);
        gz[four.part(2)] = T(gn);
        gz[four.part(3)] = back[unit.part(2)] = T(gn * r);
        gh[i] = g * u;
    }
}
