// A launch from outside: what the processor and Ctrl-C do as long as it runs, in what order blocks run, and what is
// said where it fails.
#include <signal.h>
#include <algorithm>
#include <cstdio>
#include <numeric>
#include "check.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace emulator {

static thread_local std::vector<Access> trace;

// ------------------------------------------------------------------------------------------------ messages

std::string coordinates(Dim3 extent, uint32_t index)
{
    return text("(", index % extent.x, ",", index / extent.x % extent.y, ",", index / extent.x / extent.y, ")");
}

std::string place(const Site& site) { return text(site.file, ":", site.line); }

std::string hexadecimal(uint64_t number)
{
    char digits[24];
    std::snprintf(digits, sizeof digits, "0x%08llx", static_cast<unsigned long long>(number));
    return digits;
}

void fail(Thread& thread, uint32_t site, const char* message)
{
    const Request& request = thread.block->launch.request;
    throw Failure{text(request.name, ": ", place(request.sites[site]), ": block ",
                       coordinates(request.grid, thread.block->number), ", thread ",
                       coordinates(request.block, thread.index), ": ", message)};
}

void endless(Thread& thread, uint32_t site)
{
    fail(thread, site, "an endless loop: the thread jumped back ", thread.steps, " times");
}

void too_deep(Thread& thread, uint32_t site)
{
    fail(thread, site, "calls are nested so deep that the stack is full: a recursion without end?");
}

void stop(Thread& thread, uint32_t site)
{
    fail(thread, site, "interrupted");
}

// ------------------------------------------------------------------------------------------------ launches

// As long as it lives, the processor takes a subnormal number for zero, where it reads one and where one would result.
class FlushToZero {
public:
    explicit FlushToZero(bool wanted) : before_(control())
    {
        if (wanted) set(before_ | BITS);
    }
    ~FlushToZero() { set(before_); }

private:
#if defined(__x86_64__)
    static constexpr uint64_t BITS = 1 << 15 | 1 << 6;  // of MXCSR: flush to zero, denormals are zeros
    static uint64_t control() { return _mm_getcsr(); }
    static void set(uint64_t bits) { _mm_setcsr(uint32_t(bits)); }
#elif defined(__aarch64__)
    static constexpr uint64_t BITS = 1 << 24;  // of FPCR
    static uint64_t control() { uint64_t bits; asm volatile("mrs %0, fpcr" : "=r"(bits)); return bits; }
    static void set(uint64_t bits) { asm volatile("msr fpcr, %0" :: "r"(bits)); }
#else
    static constexpr uint64_t BITS = 0;  // build.py does not ask for it here
    static uint64_t control() { return 0; }
    static void set(uint64_t) {}
#endif
    uint64_t before_;
};

volatile sig_atomic_t interrupted = 0;

// As long as it lives, Ctrl-C sets `interrupted`, at which the loops of kernels look; Python's own flag would be looked
// at when the kernel is done.
class StopsOnInterrupt {
public:
    explicit StopsOnInterrupt(bool wanted) : wanted_(wanted)
    {
        if (!wanted_) return;
        struct sigaction mine = {};
        mine.sa_handler = [](int) { interrupted = 1; };
        mine.sa_flags = SA_RESTART;
        sigaction(SIGINT, &mine, &before_);
    }
    ~StopsOnInterrupt()
    {
        if (!wanted_) return;
        sigaction(SIGINT, &before_, nullptr);
        interrupted = 0;
    }
    bool happened() const { return wanted_ && interrupted; }

private:
    bool wanted_;
    struct sigaction before_;
};

Launch::Launch(const Request& r) : request(r), random(r.seed), checker(r.check ? new Checker(*this, trace) : nullptr) {}
Launch::~Launch() = default;

std::vector<uint32_t> Launch::ordered(uint32_t count)
{
    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    if (request.order == Order::Reverse) std::reverse(order.begin(), order.end());
    if (request.order == Order::Shuffled) std::shuffle(order.begin(), order.end(), random);
    return order;
}

void Launch::run()
{
    Block block(*this);
    if (request.only_block >= 0) return block.run(uint32_t(request.only_block));
    uint32_t count = request.grid.x * request.grid.y * request.grid.z;
    if (request.order == Order::Forward)
        for (uint32_t number = 0; number < count; ++number) block.run(number);
    else
        for (uint32_t number : ordered(count)) block.run(number);
}

enum Outcome { DONE, FAILED, INTERRUPTED };

extern "C" int emulator_launch(const Request* request, char* message, uint64_t nbytes)
{
    trace.clear();
    FlushToZero while_it_runs(request->flush);
    StopsOnInterrupt as_well(request->interruptible);
    try {
        Launch(*request).run();
        if (!as_well.happened()) return DONE;
        std::snprintf(message, nbytes, "%s: interrupted", request->name);
    } catch (const Failure& failure) {
        std::snprintf(message, nbytes, "%s", failure.message.c_str());
    } catch (const std::bad_alloc&) {
        std::snprintf(message, nbytes, "%s: not enough memory to run it", request->name);
    }
    return as_well.happened() ? INTERRUPTED : FAILED;
}

// The accesses of this thread's last launch with `only_block`.
extern "C" const Access* emulator_trace(uint64_t* count)
{
    *count = trace.size();
    return trace.data();
}

}  // namespace emulator
