// Runs a grid of CUDA threads as fibres, under any of several schedules.
//
// Blocks run one after the other. Within a block every thread is a fibre that runs until it ends or
// has to wait: for its block at a barrier, or for its warp in a shuffle. What runs next is the
// schedule's choice, and a correct kernel gives the same bits under every schedule. A wrong one may
// hide its fault from some of them, so there are two kinds:
//
//   breadth first   every thread of the block takes one turn after the other: a thread that reads
//                   what another has yet to write reads it too early
//   depth first     a warp runs until all of it waits at a barrier, then the next one: a warp that
//                   overwrites what another has yet to read overwrites it too early
//
// each with the threads and blocks in forward, reverse or random order.
//
// A fibre lives on when its thread has ended, and takes a thread of the next block. How it is entered
// and left is in fibre.hpp. Under ThreadSanitizer every CUDA thread of the grid counts as a thread of
// its own, also those of blocks that ran one after the other, and only barriers order them.

#include "device.hpp"
#include "fibre.hpp"

#include <algorithm>
#include <link.h>
#include <memory>
#include <random>
#include <string>
#include <vector>

Index threadIdx, blockIdx, blockDim, gridDim;

namespace host {
namespace {

constexpr unsigned WARP = 32, MAX_THREADS = 256;

enum class State { READY, AT_BARRIER, IN_SHUFFLE, DONE };

struct Thread {
    State state;
    Index index;
    const char* barrier;       // the source line of the one where it waits
    unsigned mask, source;     // of a shuffle: with whom, from whom,
    uint64_t given, received;  // what it gave and what it got
    bool fenced;               // whether it made a memory fence
    bool has_fibre;            // which waits in `here` for its next turn
    Place here;
};

// One launch at a time; the fibres find it here.
Thread threads[MAX_THREADS];
const std::unique_ptr<char[]> stacks(new char[MAX_THREADS * STACK]);  // touched when first used
Place scheduler;
Races races;
unsigned running;  // number of the thread whose turn it is
void (*kernel)(void** arguments);
void** kernel_arguments;
std::string error;

// ------------------------------------------------------------------------------------------------
// A thread's side

void switch_to_scheduler() {
    races.enter_scheduler();
    go(threads[running].here, scheduler);
}

void fibre() {
    for (;;) {
        kernel(kernel_arguments);
        races.end_thread();
        threads[running].state = State::DONE;
        switch_to_scheduler();
    }
}

// Ends the launch with an error; the thread gets no further turn.
void give_up(const char* why) {
    const std::string x = std::to_string(blockIdx.x), y = std::to_string(blockIdx.y);
    error = "block (" + x + ", " + y + "): thread " + std::to_string(running) + " " + why;
    threads[running].mask = 0;  // so that no shuffle is complete with it
    switch_to_scheduler();
}

bool all_lanes_are_here(unsigned first_lane, unsigned mask) {
    for (unsigned lane = 0; lane < WARP; ++lane) {
        const Thread& other = threads[first_lane + lane];
        const bool here = other.state == State::IN_SHUFFLE && other.mask == mask;
        if (mask >> lane & 1 && !here) return false;
    }
    return true;
}

}  // namespace

void wait_for_block(const char* place) {
    Thread& me = threads[running];
    me.state = State::AT_BARRIER;
    me.barrier = place;
    races.arrive_at_barrier();
    switch_to_scheduler();
    races.leave_barrier();
}

void fence() { threads[running].fenced = true; }
bool fenced() { return threads[running].fenced; }

uint64_t exchange(unsigned mask, uint64_t bits, unsigned source) {
    Thread& me = threads[running];
    me.state = State::IN_SHUFFLE;
    me.mask = mask;
    const auto in_mask = [mask](unsigned lane) { return lane < WARP && mask >> lane & 1; };
    if (!in_mask(running % WARP)) give_up("is not in the mask of its own shuffle");
    if (!in_mask(source)) give_up("asks a lane that is not in the mask");
    me.source = source;
    me.given = bits;
    const unsigned first_lane = running / WARP * WARP;
    if (all_lanes_are_here(first_lane, mask)) {  // the last to come serves them all
        for (unsigned lane = 0; lane < WARP; ++lane) {
            Thread& other = threads[first_lane + lane];
            if (!(mask >> lane & 1)) continue;
            other.received = threads[first_lane + other.source].given;
            other.state = State::READY;
        }
    }
    switch_to_scheduler();
    return me.received;
}

// ------------------------------------------------------------------------------------------------
// The scheduler's side

namespace {

enum Order { FORWARD, REVERSE, RANDOM };

struct Schedule {
    Order order;
    bool depth_first;
    std::mt19937 random;

    std::vector<unsigned> permutation(unsigned count) {
        std::vector<unsigned> numbers(count);
        for (unsigned i = 0; i < count; ++i) numbers[i] = i;
        if (order == REVERSE) std::reverse(numbers.begin(), numbers.end());
        if (order == RANDOM) std::shuffle(numbers.begin(), numbers.end(), random);
        return numbers;
    }
};

// Returns when the thread has to wait, or has ended.
void resume(unsigned number) {
    running = number;
    Thread& thread = threads[number];
    threadIdx = thread.index;
    races.enter_thread(number);
    if (thread.has_fibre) return go(scheduler, thread.here);
    thread.has_fibre = true;
    start(scheduler, thread.here, stacks.get() + number * STACK, fibre);
}

// Gives turns to threads [first, last) until all of them wait at a barrier, are done, or are stuck.
void run(unsigned first, unsigned last, Schedule& schedule) {
    for (bool any_ran = true; any_ran;) {
        any_ran = false;
        for (unsigned offset : schedule.permutation(last - first)) {
            if (threads[first + offset].state != State::READY) continue;
            resume(first + offset);
            any_ran = true;
        }
    }
}

std::string description(const Thread& thread) {
    const std::string name = "thread " + std::to_string(thread.index.x);
    if (thread.state == State::DONE) return name + " has ended";
    if (thread.state == State::IN_SHUFFLE) return name + " waits for lanes of its warp";
    return name + " waits at " + thread.barrier;
}

// Opens the barrier that all threads wait at. False if the block has ended, or will never go on.
bool open_barrier(unsigned count) {
    if (!error.empty()) return false;
    const Thread& one = threads[0];
    for (unsigned i = 0; i < count; ++i) {
        const Thread& other = threads[i];
        const bool ended = one.state == State::DONE && other.state == State::DONE;
        const bool waiting = one.state == State::AT_BARRIER && other.state == State::AT_BARRIER;
        if (ended || (waiting && !std::strcmp(one.barrier, other.barrier))) continue;
        const std::string x = std::to_string(blockIdx.x), y = std::to_string(blockIdx.y);
        error = "block (" + x + ", " + y + "): " + description(one) + ", " + description(other);
        return false;
    }
    if (one.state == State::DONE) return false;
    for (unsigned i = 0; i < count; ++i) threads[i].state = State::READY;
    races.open_barrier();
    return true;
}

// Shared memory: this library's thread-local storage, of the OS thread that launches.
struct Shared {
    void* start;
    size_t size;
};

// Written before shared memory is looked for: it exists from the first access on.
thread_local volatile char shared_memory_exists;

int find_shared_memory(dl_phdr_info* library, size_t, void* found) {
    const auto contains = [&](const ElfW(Phdr)& segment) {
        const uintptr_t start = library->dlpi_addr + segment.p_vaddr;
        const uintptr_t here = reinterpret_cast<uintptr_t>(&find_shared_memory);
        return segment.p_type == PT_LOAD && start <= here && here < start + segment.p_memsz;
    };
    const ElfW(Phdr)*first = library->dlpi_phdr, *last = first + library->dlpi_phnum;
    if (std::none_of(first, last, contains)) return 0;
    for (const ElfW(Phdr)* segment = first; segment < last; ++segment)
        if (segment->p_type == PT_TLS)
            *static_cast<Shared*>(found) = {library->dlpi_tls_data, segment->p_memsz};
    return 1;
}

Shared shared_memory() {
    Shared found = {};
    shared_memory_exists = 1;
    dl_iterate_phdr(find_shared_memory, &found);
    return found;
}

void run_block(Schedule& schedule, const Shared& shared) {
    const unsigned count = blockDim.x;
    for (unsigned i = 0; i < MAX_THREADS; ++i) {
        threads[i].state = i < count ? State::READY : State::DONE;
        threads[i].index = {i, 0, 0};
        threads[i].fenced = false;
    }
    races.start_block(count, shared.start, shared.size, stacks.get());
    // With NaN: a block must not find there what the one before left.
    for (size_t i = 0; i < shared.size; ++i) static_cast<volatile char*>(shared.start)[i] = -1;
    const unsigned group = schedule.depth_first ? WARP : count;
    do {
        // Warps are groups of depth-first schedules; otherwise the whole block is one group.
        for (unsigned g : schedule.permutation((count + group - 1) / group))
            run(g * group, std::min(count, (g + 1) * group), schedule);
    } while (open_barrier(count));
}

}  // namespace

// Runs entry(arguments) for every thread of the grid. Returns what went wrong, or null.
extern "C" __attribute__((visibility("default")))
const char* launch(void (*entry)(void**), void** arguments, unsigned grid_x, unsigned grid_y,
                   unsigned block, int order, int depth_first) {
    if (block == 0 || block > MAX_THREADS || block % WARP || !grid_x || !grid_y || grid_y > 65535)
        return "this launch is not legal";
    kernel = entry;
    kernel_arguments = arguments;
    error.clear();
    blockDim = {block, 1, 1};
    gridDim = {grid_x, grid_y, 1};
    const Shared shared = shared_memory();
    Schedule schedule = {Order(order), depth_first != 0, std::mt19937()};
    for (unsigned number : schedule.permutation(grid_x * grid_y)) {
        blockIdx = {number % grid_x, number / grid_x, 0};
        run_block(schedule, shared);
        if (error.empty()) continue;
        races.end_grid();
        for (Thread& thread : threads)  // those in the middle of the kernel are given up
            if (thread.state != State::DONE) thread.has_fibre = false;
        return error.c_str();
    }
    races.end_grid();
    return nullptr;
}

}  // namespace host
