// What a translated kernel sees: its thread, memory, and the operations in which threads meet.
//
// The same text serves two modes.  With CHECK every access to memory is shown to the checker before it is performed,
// and loops are counted; without, an access is a plain C++ load or store.
#pragma once
#include <csignal>
#include "arithmetic.h"

namespace emulator {

struct Dim3 { uint32_t x, y, z; };

struct Block;

// One CUDA thread, as far as translated code looks at it.
struct Thread {
    Dim3 tid, ctaid, ntid, nctaid;
    uint32_t index;           // within the block: x + y * ntid.x + ...
    uint32_t dynamic_shared;  // where dynamic shared memory begins, after the static arrays
    char* shared;             // the block's shared memory
    uint32_t shared_nbytes;
    uint64_t steps;           // how often it jumped backwards (CHECK)
    char* stack_end;          // no function may begin below
    Block* block;
    uint32_t lane() const { return index & 31; }
};

enum class Space : uint8_t { Global, Shared, Local, Generic };
// Constant: a read of what nobody writes as long as the kernel runs.  Atomic: a read and a write at once.
enum class Kind : uint8_t { Other, Read, Constant, Write, AtomicRead, AtomicWrite, Atomic };
// Among whom an atomic is one, and a fence orders.
enum class Scope : uint8_t { Block, Device };

// An instruction that can fail or that the checker looks at: where it stands in the source and what it does.
struct Site {
    const char* file;
    uint32_t line;
    uint16_t nbytes;
    Kind kind;
    Space space;
    Scope scope;
};

// An array of the module in global or constant memory.
struct Variable { const char* name; void* address; uint64_t nbytes; };
// `extern const int keeps_state` of a translated file tells whether a launch can leave something in them for the next.

// ------------------------------------------------------------------------------------------------ the runtime

// Ends the launch with a message that names kernel, source line, block and thread.
[[noreturn]] void fail(Thread&, uint32_t site, const char* message);

// The checker: complains, or returns the address at which `thread` may go ahead.
char* access(Thread&, uint64_t address, uint32_t site);
[[noreturn]] void endless(Thread&, uint32_t site);
[[noreturn]] void too_deep(Thread&, uint32_t site);
extern volatile sig_atomic_t interrupted;  // by Ctrl-C
[[noreturn]] void stop(Thread&, uint32_t site);

// A function's thread-local arrays: which bytes were written.  Linked, because functions call functions.
struct Frame {
    Frame(Thread&, char* begin, uint8_t* written, uint32_t nbytes);
    ~Frame();
    Frame* outer;
    Thread& thread;
    char* begin;
    uint8_t* written;
    uint32_t nbytes;
};

enum class Vote : uint8_t { None, Count, All, Any };
// Wait for all threads of the block; returns what they voted.
uint32_t barrier(Thread&, uint32_t site, uint32_t id, uint32_t threads, Vote = Vote::None, bool ballot = false);

// One lane's part in an operation of a warp: what it brings, what it gets.
struct Lane { const uint32_t* in; uint32_t* out; };
using WarpOperation = void (*)(uint32_t present, Lane* lanes);
// Wait until all lanes in `mask` want the same operation; then it is performed for all of them at once.
void warp(Thread&, uint32_t site, WarpOperation, uint32_t mask, const uint32_t* in, uint32_t* out);

void warp_barrier(Thread&, uint32_t site, uint32_t mask);
enum class Shuffle : uint8_t { Up, Down, Butterfly, Index };
uint32_t shuffle(Thread&, uint32_t site, Shuffle, uint32_t value, uint32_t b, uint32_t c, uint32_t mask, bool& inside);
uint32_t ballot(Thread&, uint32_t site, uint32_t mask, bool vote);
bool vote_uniform(Thread&, uint32_t site, uint32_t mask, bool vote);
uint32_t match_any(Thread&, uint32_t site, uint32_t mask, uint64_t value);
uint32_t match_all(Thread&, uint32_t site, uint32_t mask, uint64_t value, bool& same);
enum class Reduction : uint8_t { Add, Min, Max, MinSigned, MaxSigned, And, Or, Xor };
uint32_t reduce(Thread&, uint32_t site, Reduction, uint32_t mask, uint32_t value);
// d = a * b + c on a warp's fragments: 16 x k times k x 8 in TF32, sums in float.  k is 4 or 8.
void mma_tf32(Thread&, uint32_t site, int k, float* d, const uint32_t* a, const uint32_t* b, const float* c);
void load_matrices(Thread&, uint32_t site, int count, bool transposed, uint32_t address, uint32_t* out);

void memory_fence(Thread&, Scope);
void acquire(Thread&);  // what this thread's atomic loads have found happened before what it does next
// cp.async: `from` is where the first `valid` bytes come from, zeros follow.  Nothing arrives before the wait.
void copy_async(Thread&, uint32_t write_site, uint32_t read_site, uint32_t to, uint64_t from, uint32_t nbytes,
                uint32_t valid);
void commit_group(Thread&);
void wait_group(Thread&, uint32_t pending);
void wait_all(Thread&);

// ------------------------------------------------------------------------------------------------ memory

template <class T> inline T get(const char* from)
{
    T value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}
template <class T> inline void put(char* to, T value) { __builtin_memcpy(to, &value, sizeof value); }

#define NESTED(site) if (static_cast<char*>(__builtin_frame_address(0)) < thread.stack_end) too_deep(thread, site)
#define INTERRUPTIBLE(site) if (__builtin_expect(interrupted, 0)) stop(thread, site)
#ifdef CHECK
inline char* global(Thread& thread, uint64_t address, uint32_t site) { return access(thread, address, site); }
inline char* shared(Thread& thread, uint32_t address, uint32_t site) { return access(thread, address, site); }
#define LOOP(site) do { INTERRUPTIBLE(site); if (++thread.steps > STEP_LIMIT) endless(thread, site); } while (0)
#define LOCAL(name, size) uint8_t name##_written[size] = {}; Frame name##_frame(thread, name, name##_written, size)
constexpr uint64_t STEP_LIMIT = 20'000'000;
#else
inline char* global(Thread&, uint64_t address, uint32_t) { return reinterpret_cast<char*>(address); }
inline char* shared(Thread& thread, uint32_t address, uint32_t) { return thread.shared + address; }
#define LOOP(site) INTERRUPTIBLE(site)
#define LOCAL(name, size)
#endif
// A pointer that may point into any space: the spaces are parts of one address space here, as on the GPU.
inline char* generic(Thread& thread, uint64_t address, uint32_t site) { return global(thread, address, site); }
inline char* local(Thread& thread, uint64_t address, uint32_t site) { return global(thread, address, site); }

// Threads take turns, so a read-modify-write is atomic as it stands.
template <class T, class Operation> inline T atomic(char* at, Operation operation)
{
    T old = get<T>(at);
    put<T>(at, operation(old));
    return old;
}

// The end counts too: a pointer past an array's last element belongs to its space.
inline bool in_shared(Thread& thread, uint64_t address)
{
    return address - reinterpret_cast<uint64_t>(thread.shared) <= thread.shared_nbytes;
}
inline uint32_t shift_amount(uint32_t highest, uint32_t top) { return highest == ~0u ? highest : top - highest; }
inline uint32_t lanes_below(uint32_t lane) { return (1u << lane) - 1; }

}  // namespace emulator
