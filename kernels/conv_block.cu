// A tile of the products of conv_product.cu, which is compiled behind this file.

// ------------------------------------------------------------------------------------------------
// Numbers in digits: what step of the sum is what tap, or what position, without a division

// The number ((rest shape[0] + z) shape[1] + y) shape[2] + x.
struct Digits {
    long long rest;
    int z, y, x;
};

__device__ Digits digits_of(const long long* shape, long long number) {
    const long long row = number / shape[2], plane = row / shape[1];
    return {plane / shape[0], int(plane % shape[0]), int(row % shape[1]), int(number % shape[2])};
}

__device__ Digits added(const long long* shape, Digits a, const Digits& b) {
    const auto carry = [](int& digit, long long base) {
        const bool over = digit >= base;
        digit -= over ? int(base) : 0;
        return over;
    };
    a.x += b.x;
    a.y += b.y + carry(a.x, shape[2]);
    a.z += b.z + carry(a.y, shape[1]);
    a.rest += b.rest + carry(a.z, shape[0]);
    return a;
}

// ------------------------------------------------------------------------------------------------
// The product: result[m, n] = sum over k of plain[m, k] gathered[k, n]
//
// Shared memory is read 4 neighbours at a time. A thread has 8 x 4 sums in registers, so that it
// reads 3 times for 32 multiplications. 128 threads have a whole tile: each half of a block takes
// its own half of every 16 steps, and in the end the halves are added up. Two such blocks are on a
// processor at a time; 8 x 8 sums a thread would read less, and leave room for one.

__device__ long long lesser(long long a, long long b) { return a < b ? a : b; }

constexpr int BLOCK = 256, TILE = 64, STEPS = 16;
constexpr int HALVES = 2, FOURS = TILE / 4;  // FOURS: in a row or column of a tile

struct alignas(16) Four {
    acc_t at[4];
};

// One operand lies in rows, the other is gathered from volumes of the shape `size`, with zeros
// around them.
struct Operands {
    const T* plain;
    long long row;  // distance of the rows of plain
    const T* gathered;
    int size[3];
};

// A column of the gathered operand: the place that a step of no distance meets. result: where the
// column of the result begins.
struct alignas(16) Column {
    Place place;
    long long result;
};

// A step of the sum: its distance from the place of a column, and in a row of plain. Steps behind
// the last are nowhere: outside of every volume.
struct alignas(16) Step {
    Place place;
    long long plain;
};

constexpr int NOWHERE = -(1 << 30);

// How a block shares out the STEPS x TILE elements of an operand, to load them: a thread has those
// of the steps first_step() + STRIDE i and the lines (rows or columns) first_line() + LINES j.
// Neighbouring threads take neighbours in memory. Where these are steps, 8 of them are enough for
// whole sectors of 32 bytes, and put 4 lines x 8 steps into 32 different banks.
template <bool NEIGHBOURS_ARE_STEPS>
struct Share {
    static constexpr int STRIDE = NEIGHBOURS_ARE_STEPS ? 8 : BLOCK / TILE, COUNT = STEPS / STRIDE;
    static constexpr int LINES = BLOCK / STRIDE, LINE_COUNT = TILE / LINES;

    __device__ static int first_step() {
        return NEIGHBOURS_ARE_STEPS ? threadIdx.x % STRIDE : threadIdx.x / LINES;
    }
    __device__ static int first_line() {
        return NEIGHBOURS_ARE_STEPS ? threadIdx.x / STRIDE : threadIdx.x % LINES;
    }
};

// A row of a tile in shared memory. It is one Four longer than the tile, so that neighbouring rows
// begin in different banks.
using Row = Four[FOURS + 1];

// What a block has in shared memory: of both operands the steps that it computes with and those
// that come next, and in the end the tile.
union Room {
    struct {
        Row a[2][STEPS], b[2][STEPS];
    } operands;
    Row result[TILE];
};

// One thread's part of loading: from memory into registers, and later from there into Room, so that
// the block computes while the memory answers.
template <typename ShareOfB>
struct Loader {
    using ShareOfA = Share<true>;
    const Operands& operands;
    const T* rows[ShareOfA::LINE_COUNT];
    Place places[ShareOfB::LINE_COUNT];
    T a[ShareOfA::COUNT][ShareOfA::LINE_COUNT], b[ShareOfB::COUNT][ShareOfB::LINE_COUNT];

    // Rows and columns behind the last are the last once more: what becomes of them is not kept.
    __device__ Loader(const Operands& operands, long long m0, long long height,
                      const Column* columns)
        : operands(operands) {
#pragma unroll
        for (int j = 0; j < ShareOfA::LINE_COUNT; ++j) {
            const long long m = m0 + ShareOfA::first_line() + j * ShareOfA::LINES;
            rows[j] = operands.plain + (m < height ? m : height - 1) * operands.row;
        }
#pragma unroll
        for (int j = 0; j < ShareOfB::LINE_COUNT; ++j)
            places[j] = columns[ShareOfB::first_line() + j * ShareOfB::LINES].place;
    }

    __device__ void fetch(const Step* steps) {
#pragma unroll
        for (int i = 0; i < ShareOfA::COUNT; ++i) {
            const Step step = steps[ShareOfA::first_step() + i * ShareOfA::STRIDE];
#pragma unroll
            for (int j = 0; j < ShareOfA::LINE_COUNT; ++j)
                a[i][j] = step.place.z != NOWHERE ? rows[j][step.plain] : T(0.0f);
        }
#pragma unroll
        for (int i = 0; i < ShareOfB::COUNT; ++i) {
            const Step step = steps[ShareOfB::first_step() + i * ShareOfB::STRIDE];
#pragma unroll
            for (int j = 0; j < ShareOfB::LINE_COUNT; ++j) {
                const Place p = places[j] + step.place;
                // As unsigned, what is in front is beyond the end too.
                const bool inside = unsigned(p.z) < unsigned(operands.size[0]) &&
                                    unsigned(p.y) < unsigned(operands.size[1]) &&
                                    unsigned(p.x) < unsigned(operands.size[2]);
                b[i][j] = inside ? operands.gathered[p.offset] : T(0.0f);
            }
        }
    }

    __device__ void put(Room& room, int buffer) const {
        put_one<ShareOfA>(a, room.operands.a[buffer]);
        put_one<ShareOfB>(b, room.operands.b[buffer]);
    }

    template <typename Shared>
    __device__ static void put_one(const T (&values)[Shared::COUNT][Shared::LINE_COUNT],
                                   Row* to) {
#pragma unroll
        for (int i = 0; i < Shared::COUNT; ++i) {
#pragma unroll
            for (int j = 0; j < Shared::LINE_COUNT; ++j) {
                const int line = Shared::first_line() + j * Shared::LINES;
                const int step = Shared::first_step() + i * Shared::STRIDE;
                to[step][line / 4].at[line % 4] = acc_t(values[i][j]);
            }
        }
    }
};

// One thread's sums, 2 squares of 4 x 4: in the Fours down() and down() + DOWN of rows, across() of
// columns. A warp has 4 x 8 neighbours; two lanes that read the same Four are 1 or 2 apart, as
// shared memory wants it to answer 16 lanes at once.
struct Sums {
    static constexpr int DOWN = FOURS / 2;
    acc_t at[2][4][4] = {};

    __device__ static int half() { return warp() / (MAX_WARPS / HALVES); }
    __device__ static int down() { return lane() % 2 + lane() / 16 * 2 + warp() % 2 * 4; }
    __device__ static int across() { return lane() / 2 % 8 + warp() / 2 % 2 * 8; }

    __device__ void add_products(const Row* a, const Row* b) {
        constexpr int OWN = STEPS / HALVES;
#pragma unroll
        for (int i = 0; i < OWN; ++i) {
            const int k = half() * OWN + i;
            const Four rows[2] = {a[k][down()], a[k][down() + DOWN]}, columns = b[k][across()];
#pragma unroll
            for (int p = 0; p < 2; ++p)
#pragma unroll
                for (int rc = 0; rc < 16; ++rc)
                    at[p][rc / 4][rc % 4] += rows[p].at[rc / 4] * columns.at[rc % 4];
        }
    }

    // The sums of the first half, and then those of the other. To be called by the whole block.
    __device__ void collect(Row* result) const {
        for (int turn = 0; turn < HALVES; ++turn) {
            if (half() == turn) {
#pragma unroll
                for (int pr = 0; pr < 8; ++pr) {
                    Four& to = result[(down() + pr / 4 * DOWN) * 4 + pr % 4][across()];
                    Four sum = turn ? to : Four{};
#pragma unroll
                    for (int c = 0; c < 4; ++c) sum.at[c] += at[pr / 4][pr % 4][c];
                    to = sum;
                }
            }
            __syncthreads();
        }
    }
};

// One tile, from (m0, n0) on: column_of(n) and step_of(k, its digits to the base `shape`) say where
// they are, put(m, column, sum) stores an element. To be called by all threads of a block of 256
// together.
template <bool GATHERED_STEPS_ARE_NEIGHBOURS, typename ColumnOf, typename StepOf, typename Put>
__device__ void product_tile(const Operands& operands, long long m0, long long height,
                             long long n0, long long width, long long begin, long long end,
                             const long long* shape, ColumnOf column_of, StepOf step_of, Put put) {
    __shared__ Room room;
    __shared__ Column columns[TILE];
    __shared__ Step steps[2][STEPS];
    __shared__ Digits digits[STEPS], stride;  // of the steps to be found next, and of STEPS
    // The last threads find the steps: the first have the columns to find.
    const int finder = int(threadIdx.x) - (BLOCK - STEPS);
    const auto find_steps = [&](long long k0, Step* to) {
        const long long k = k0 + finder;
        if (finder < 0) return;
        const Digits here = digits[finder];
        to[finder] = k < end ? step_of(k, here) : Step{{0, NOWHERE, 0, 0}, 0};
        digits[finder] = added(shape, here, stride);
    };
    __syncthreads();  // the tile before may still be read
    if (threadIdx.x < TILE) columns[threadIdx.x] = column_of(lesser(n0 + threadIdx.x, width - 1));
    if (finder >= 0 && begin < end) {  // else there may be no shape
        digits[finder] = digits_of(shape, begin + finder);
        if (finder == 0) stride = digits_of(shape, STEPS);
    }
    __syncthreads();
    Sums sums;
    if (begin < end) {
        find_steps(begin, steps[0]);
        find_steps(begin + STEPS, steps[1]);
        __syncthreads();
        Loader<Share<GATHERED_STEPS_ARE_NEIGHBOURS>> loader(operands, m0, height, columns);
        loader.fetch(steps[0]);
        loader.put(room, 0);
        __syncthreads();
        int now = 0;
        for (long long k0 = begin; k0 < end; k0 += STEPS, now = 1 - now) {
            loader.fetch(steps[1 - now]);
            find_steps(k0 + 2 * STEPS, steps[now]);
            sums.add_products(room.operands.a[now], room.operands.b[now]);
            loader.put(room, 1 - now);
            __syncthreads();
        }
    }
    sums.collect(room.result);
    const int n = threadIdx.x % TILE;
    if (n < width - n0) {
        const long long result = columns[n].result, rows_here = lesser(height - m0, TILE);
#pragma unroll 1
        for (int m = threadIdx.x / TILE; m < rows_here; m += BLOCK / TILE)
            put(m0 + m, result, room.result[m][n / 4].at[n % 4]);
    }
}

// All tiles of `groups` products of height x width elements, over all blocks of a row of the grid.
template <typename Body>
__device__ void each_tile(long long groups, long long height, long long width, Body body) {
    const long long down = (height + TILE - 1) / TILE, across = (width + TILE - 1) / TILE;
    BLOCK_PER_ROW(i, groups * down * across)
        body(i / (down * across), i / across % down * TILE, i % across * TILE);
}
