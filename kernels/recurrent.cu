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
// A thread owns one unit of one sequence, in all parts, and loops on over the grid. Legal launches:
// any number of blocks. Behind this file comes recurrent_steps.cu: all steps in one launch.
// Bytes moved per element of s bytes (one unit of one sequence): each kernel says it. What counts
// at these sizes is the launch.
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

// h and y of one step. A thread owns units of sequences. Moves 4 s a unit of a sequence.
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

// gz and gh of one step. A thread owns units of sequences. Moves 4 s a unit of a sequence.
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

// One unit of one sequence at one step: its gates and its c.
struct LSTMCell {
    acc_t i, f, g, o, c;

    // From the four parts of a, and c of the step before.
    __device__ static LSTMCell forward(const acc_t* a, acc_t before) {
        LSTMCell cell = {sigmoid(a[0]), sigmoid(a[1]), tanh(a[2]), sigmoid(a[3]), 0};
        cell.c = cell.f * before + cell.i * cell.g;
        return cell;
    }

    // From what was kept.
    __device__ LSTMCell(const T* gates, const Unit& unit, acc_t c)
        : i(acc_t(gates[unit.part(0)])), f(acc_t(gates[unit.part(1)])),
          g(acc_t(gates[unit.part(2)])), o(acc_t(gates[unit.part(3)])), c(c) {}
    __device__ LSTMCell(acc_t i, acc_t f, acc_t g, acc_t o, acc_t c)
        : i(i), f(f), g(g), o(o), c(c) {}

    __device__ acc_t h() const { return o * tanh(c); }

    __device__ void keep(T* gates, const Unit& unit) const {
        gates[unit.part(0)] = T(i);
        gates[unit.part(1)] = T(f);
        gates[unit.part(2)] = T(g);
        gates[unit.part(3)] = T(o);
    }

    // Gradients of the four parts of a, from that of h; gc is the gradient of c from later steps,
    // and becomes that of c before.
    __device__ void backward(acc_t gh, acc_t before, acc_t* gc, acc_t* ga) const {
        const acc_t tc = tanh(c), g_c = *gc + gh * o * (1 - tc * tc);
        ga[0] = g_c * g * i * (1 - i);
        ga[1] = g_c * before * f * (1 - f);
        ga[2] = g_c * i * (1 - g * g);
        ga[3] = gh * tc * o * (1 - o);
        *gc = g_c * f;
    }
};

// h, c, y, cells and the gates of one step. A thread owns units of sequences. Moves 15 s a unit of
// a sequence.
KERNEL(lstm_fwd)(T* z, const T* product, const T* bias, const long long* lengths, T* h, acc_t* c,
                 T* y, T* cells, long long t, long long batch, long long units) {
    GRID_STRIDE(k, batch * units) {
        const Unit unit(k, units, 4);
        if (!goes_on(lengths, unit.n, t)) {
            y[k] = T(0);
            cells[k] = T(c[k]);
            continue;
        }
        acc_t a[4];
#pragma unroll
        for (int part = 0; part < 4; ++part) a[part] = unit.sum(z, product, bias, part);
        const LSTMCell cell = LSTMCell::forward(a, c[k]);
        cell.keep(z, unit);
        c[k] = cell.c;
        cells[k] = T(cell.c);
        h[k] = y[k] = T(cell.h());
    }
}

// gz, gh and gc of one step. before: c of the step before, null for zeros. A thread owns units of
// sequences. Moves 12 s a unit of a sequence.
KERNEL(lstm_bwd)(const T* gy, const T* product, const T* gates, const T* cells, const T* before,
                 const long long* lengths, acc_t* gh, acc_t* gc, T* gz, long long t,
                 long long batch, long long units) {
    GRID_STRIDE(k, batch * units) {
        const Unit unit(k, units, 4);
        const acc_t g = gh[k] + or_zero(product, k);
        const bool on = goes_on(lengths, unit.n, t);
        acc_t ga[4] = {};
        if (on) {
            const LSTMCell cell(gates, unit, acc_t(cells[k]));
            cell.backward(g + or_zero(gy, k), or_zero(before, k), &gc[k], ga);
        }
        gh[k] = on ? 0 : g;
#pragma unroll
        for (int part = 0; part < 4; ++part) gz[unit.part(part)] = T(ga[part]);
    }
}

// ------------------------------------------------------------------------------------------------
// GRU

// One unit of one sequence at one step: its gates and q.
struct GRUCell {
    acc_t r, u, n, q;

    // From the three parts of a, of which the last is without r q, and q.
    __device__ GRUCell(const acc_t* a, acc_t q)
        : r(sigmoid(a[0])), u(sigmoid(a[1])), n(tanh(a[2] + r * q)), q(q) {}

    // From what was kept.
    __device__ GRUCell(const T* gates, const T* q, const Unit& unit)
        : r(acc_t(gates[unit.part(0)])), u(acc_t(gates[unit.part(1)])),
          n(acc_t(gates[unit.part(2)])), q(acc_t(q[unit.i])) {}

    __device__ acc_t h(acc_t before) const { return n + u * (before - n); }

    __device__ void keep(T* gates, T* kept, const Unit& unit) const {
        gates[unit.part(0)] = T(r);
        gates[unit.part(1)] = T(u);
        gates[unit.part(2)] = T(n);
        kept[unit.i] = T(q);
    }

    // Gradients of the parts r, u, n and of q, from that of h. Returns that of h before, without
    // what goes through the product.
    __device__ acc_t backward(acc_t gh, acc_t before, acc_t* ga) const {
        ga[1] = gh * (before - n) * u * (1 - u);
        ga[2] = gh * (1 - u) * (1 - n * n);
        ga[0] = ga[2] * q * r * (1 - r);
        ga[3] = ga[2] * r;
        return gh * u;
    }
};

// h, y, q and the gates of one step. A thread owns units of sequences. Moves 11 s a unit of a
// sequence.
KERNEL(gru_fwd)(T* z, const T* product, const T* bias, const long long* lengths, T* h, T* y, T* q,
                long long t, long long batch, long long units) {
    GRID_STRIDE(i, batch * units) {
        const Unit unit(i, units, 3);
        if (!goes_on(lengths, unit.n, t)) {
            y[i] = T(0);
            continue;
        }
        const acc_t a[] = {unit.sum(z, product, bias, 0), unit.sum(z, product, bias, 1),
                           unit.sum(z, nullptr, bias, 2)};
        const acc_t inner = or_zero(product, unit.part(2)) + or_zero(bias, unit.bias(3));
        const GRUCell cell(a, inner);
        cell.keep(z, q, unit);
        h[i] = y[i] = T(cell.h(acc_t(h[i])));
    }
}

// gz, gh and back of one step. before: y of step `earlier`, null if this step is the first of all;
// h_0: the first state, null for zeros; back: (batch, 3 units), what the next product takes of gz:
// r, u and q. A thread owns units of sequences. Moves 13 s a unit of a sequence.
KERNEL(gru_bwd)(const T* gy, const T* product, const T* gates, const T* q, const T* before,
                const T* h_0, const long long* lengths, acc_t* gh, T* gz, T* back, long long t,
                long long earlier, long long batch, long long units) {
    GRID_STRIDE(i, batch * units) {
        const Unit unit(i, units, 3), four(i, units, 4);
        acc_t g = gh[i] + or_zero(product, i), ga[4] = {};
        if (goes_on(lengths, unit.n, t)) {
            const bool first = !before || !goes_on(lengths, unit.n, earlier);
            const acc_t h = first ? or_zero(h_0, i) : acc_t(before[i]);
            g = GRUCell(gates, q, unit).backward(g + or_zero(gy, i), h, ga);
        }
        gh[i] = g;
#pragma unroll
        for (int part = 0; part < 4; ++part) gz[four.part(part)] = T(ga[part]);
        back[unit.part(0)] = T(ga[0]);
        back[unit.part(1)] = T(ga[1]);
        back[unit.part(2)] = T(ga[3]);
    }
}
