// The runtime's own view of a launch: blocks, threads that wait, and what module.py passes in and gets out.
#pragma once
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>
#include "device.h"
#include "fiber.h"

namespace emulator {

// ------------------------------------------------------------------ shared with module.py, field by field

struct Region { uint64_t address, nbytes; const char* name; uint8_t* written; };  // written: a flag per byte, or null

// One access of a traced block.  `occurrence`: how often its thread had been at this site before.
struct Access { uint32_t site, thread, occurrence, nbytes; uint64_t address; uint32_t shared; };

enum class Order : uint32_t { Forward, Reverse, Shuffled };

struct Request {
    void (*kernel)(Thread&, const char* parameters);
    const char* name;
    const Site* sites;
    const char* parameters;
    uint64_t parameters_nbytes;
    Dim3 grid, block;
    uint32_t static_shared, dynamic_shared, local_nbytes;
    uint32_t meets;  // whether threads wait for one another, so that each needs a fiber
    uint32_t check;
    uint32_t interruptible;  // Ctrl-C ends it
    uint32_t flush;  // let the processor take subnormal numbers for zeros: the kernel was compiled with -ftz=true
    Order order;
    uint32_t seed;
    int64_t only_block;  // trace this one alone; -1: run all
    const Region* regions;
    uint64_t region_count;
};

// ------------------------------------------------------------------ threads and blocks

struct Failure { std::string message; };

struct Launch;
class Checker;
struct Knowledge;  // what a thread knows of other blocks; see check.h

enum class State : uint8_t { Ready, AtBarrier, InWarp, Done };

// A cp.async that has not arrived.
struct Copy { uint32_t to, nbytes, valid, group, write_site, read_site; uint64_t from; };

struct ThreadState : Thread {
    Context context;
    State state;
    uint32_t site;  // of the operation that it waits in
    // at a barrier
    uint32_t barrier_id;
    Vote vote;
    bool ballot;
    uint32_t tally;
    // in an operation of its warp
    WarpOperation operation;
    uint32_t mask;
    Lane lane_data;

    std::vector<Copy> copies;
    uint32_t groups;  // committed so far
    // for the checker
    Frame* frame;
    uint16_t clock;
    uint16_t known[32];  // up to which clock of each lane of its warp all accesses happened before now
    std::shared_ptr<const Knowledge> acquired;  // seen of other blocks, and by way of atomics
    std::shared_ptr<const Knowledge> loaded;    // found by atomic loads; acquired at the next fence
    std::shared_ptr<const Knowledge> fenced[2];  // what an atomic of each scope publishes
};

struct Block {
    explicit Block(Launch& launch);
    void run(uint32_t number);

    Launch& launch;
    uint32_t number = 0;
    std::vector<ThreadState> threads;
    std::vector<char> shared;
    Context scheduler;
    std::string failure;
    // For the checker: the latest of any thread, and the one of the last barrier.
    uint16_t clock = 1, barrier_clock = 1;

    bool finish_warp(ThreadState& arrived, bool without_done);
    void wait(ThreadState& thread, State state);

private:
    void prepare(ThreadState& thread, uint32_t index);
    void run_one_after_another();
    void run_as_fibers();
    void unblock();
    void open_barrier();
    [[noreturn]] void report_deadlock();
    std::vector<uint32_t> order_;
    uint32_t done_ = 0;
};

struct Launch {
    explicit Launch(const Request& request);
    ~Launch();
    void run();
    std::vector<uint32_t> ordered(uint32_t count);  // 0 ... count - 1 in the launch's order

    const Request& request;
    std::mt19937 random;
    std::unique_ptr<Checker> checker;  // null in fast mode
};

inline ThreadState& state(Thread& thread) { return static_cast<ThreadState&>(thread); }

// ------------------------------------------------------------------ messages

template <class... Part> std::string text(const Part&... parts)
{
    std::ostringstream stream;
    (stream << ... << parts);
    return stream.str();
}
std::string coordinates(Dim3 extent, uint32_t index);  // (x,y,z)
std::string place(const Site& site);                   // file:line
std::string hexadecimal(uint64_t number);
template <class... Part> [[noreturn]] void fail(Thread& thread, uint32_t site, const Part&... parts)
{
    fail(thread, site, text(parts...).c_str());
}

}  // namespace emulator
