// The part of CUDA C++ that the kernels use, for a host compiler: it comes before common.cuh.
//
// A CUDA thread is a fibre (scheduler.cpp), and all fibres are on one OS thread. So threadIdx is a
// global variable that is set when a fibre's turn comes, atomics need no lock, and the thread-local
// storage of that OS thread serves as the shared memory of the block that runs at the moment.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__ inline
#define __shared__ static thread_local
#define __launch_bounds__(threads, blocks)
#define WORDS_OF(x) #x
#define TEXT_OF(x) WORDS_OF(x)
#define __syncthreads() host::wait_for_block(__FILE__ ":" TEXT_OF(__LINE__))

struct Index {
    unsigned x, y, z;
};

extern Index threadIdx, blockIdx, blockDim, gridDim;

namespace host {
// Returns when all threads of the block wait here; it is an error if they wait at different places.
void wait_for_block(const char* place);

// Gives `bits` to the other lanes named in `mask`, and returns what lane `source` gave.
uint64_t exchange(unsigned mask, uint64_t bits, unsigned source);

// Gives all other blocks a turn.
void sleep();

// The running block's dynamic shared memory.
void* dynamic_shared();

// Of the running thread: makes a fence, and whether it made one.
void fence();
bool fenced();
}  // namespace host

template <typename Value>
Value __shfl_xor_sync(unsigned mask, Value value, int distance) {
    static_assert(sizeof(Value) <= sizeof(uint64_t));
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(Value));
    bits = host::exchange(mask, bits, threadIdx.x % 32 ^ distance);
    std::memcpy(&value, &bits, sizeof(Value));
    return value;
}

// Fibres never interrupt one another, so plain steps would do; the race detector knows these. An
// atomic does not order what a thread did before it, unless there was a fence: so on the device, and
// so here, where a fence makes a thread's later atomics publish.
inline void __threadfence() { host::fence(); }

inline unsigned long long atomicAdd(unsigned long long* at, unsigned long long value) {
    if (host::fenced()) return __atomic_fetch_add(at, value, __ATOMIC_ACQ_REL);
    return __atomic_fetch_add(at, value, __ATOMIC_ACQUIRE);
}

inline unsigned long long atomicMin(unsigned long long* at, unsigned long long value) {
    unsigned long long before = __atomic_load_n(at, __ATOMIC_ACQUIRE);
    const int publish = __ATOMIC_ACQ_REL, keep = __ATOMIC_ACQUIRE;
    while (value < before &&
           !(host::fenced() ? __atomic_compare_exchange_n(at, &before, value, 0, publish, keep)
                            : __atomic_compare_exchange_n(at, &before, value, 0, keep, keep))) {
    }
    return before;
}

// Threads wait for another block asleep, between two looks at what it will write.
inline void __nanosleep(unsigned) { host::sleep(); }

#define DYNAMIC_SHARED(name) T* name = static_cast<T*>(host::dynamic_shared())

// float and double have overloads of all of these, as they have on the device.
using std::erf, std::erfc, std::exp, std::expm1, std::fabs, std::fmax, std::fmin;
using std::log, std::log1p, std::pow, std::sqrt, std::tanh;
