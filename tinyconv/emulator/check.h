// The checker: sees every access to memory before it is performed, and knows what must not happen.
//
// Its centre is the race detector.  Two accesses of different threads to the same place, one of them a write, are a
// race unless one *happens before* the other: unless a chain of synchronisation leads from the first to the second.  It
// does not matter which came first in this run, so a race is found even if the emulator's order happens to be harmless.
//
// Each thread has a clock that moves on when the thread synchronises.  Each cell of memory remembers the last write and
// two reads since, with the clocks of those who made them:
//
//      thread 0    write a (clock 1)   barrier   read b (clock 2)
//      thread 1    read b  (clock 1)   barrier   write b (clock 2): against the read by thread 0, with clock 2: a race
//                                      ^ barrier_clock = 2: all with a smaller clock happened before
//
// Within a warp, __syncwarp orders the lanes that take part: a thread knows, per lane, up to which clock it has seen.
// (Shuffles and votes exchange values; they promise nothing about memory.)  Between blocks, only an atomic orders, and
// only what its thread published by a __threadfence() before it; the thread whose atomic finds it there has seen it.
// (One that merely loads needs a fence of its own to rely on it.)  Fences and atomics of a block's scope,
// __threadfence_block() and atomicAdd_block(), do the same among the threads of one block.
//
// check.cpp looks at each access, races.cpp compares it with those before, order.cpp knows what happened before what.
#pragma once
#include <map>
#include <unordered_map>
#include "runtime.h"

namespace emulator {

// What is remembered of an access, in eight bytes.  All zeros: nothing.
struct Stamp {
    uint64_t block : 22;  // its number + 1
    uint64_t thread : 10;
    uint64_t clock : 16;
    uint64_t site : 15;
    uint64_t in_flight : 1;  // a cp.async that has not arrived
};

inline bool is_atomic(Kind kind) { return kind >= Kind::AtomicRead; }
inline bool reads(Kind kind) { return kind != Kind::Write && kind != Kind::AtomicWrite; }
inline bool writes(Kind kind) { return kind == Kind::Write || kind >= Kind::AtomicWrite; }

// What is remembered of four bytes, or of one where an array has elements of less than four.
//
// Two reads are enough: they are of different blocks if possible, else of different warps, else of different threads,
// so that whoever writes without synchronisation races with one of them at least.  So it is with atomics, which race
// with reads and writes, but not with one another.
struct Cell { Stamp write, reads[2], atomics[2], constant; };

// Of the few cells that have any: atomic loads, which race with writes alone, and atomics of a block's scope, which
// race with those of other blocks, too.
struct Rare { Stamp loads[2], of_block[2]; };

// What a thread has seen of other blocks: of one thread up to a clock, or of all threads before a barrier's clock.
struct Knowledge {
    std::unordered_map<uint64_t, uint16_t> threads;  // key: block << 10 | thread
    std::unordered_map<uint64_t, uint16_t> blocks;
    void join(const Knowledge& other);
    bool has(Stamp stamp) const;
};

// A piece of memory that the launch may touch, with a cell for each of its words.
class Area {
public:
    Area(uint64_t address, uint64_t nbytes, std::string name, uint8_t* written)
        : begin(address), nbytes(nbytes), name(std::move(name)), written(written) {}
    Area(const Area&) = delete;
    ~Area();
    bool contains(uint64_t address) const { return address - begin < nbytes; }
    // The cells of a range.  The shadow is made at the first call; pages of it that are never touched cost nothing.
    Cell* cells(uint64_t offset, uint64_t length, uint64_t& count);
    // What rarely happens to a cell; null if it has not, since the last write.
    Rare* rare(const Cell* cell)
    {
        if (rare_.empty()) return nullptr;
        auto found = rare_.find(uint64_t(cell - cells_));
        return found == rare_.end() ? nullptr : &found->second;
    }
    Rare& make_rare(const Cell* cell) { return rare_[uint64_t(cell - cells_)]; }
    void forget();
    std::string byte(uint64_t offset) const { return text("byte ", offset, " of ", name); }

    uint64_t begin, nbytes;
    std::string name;
    uint8_t* written;  // a flag per byte: whether it was ever written; null: all of it was

private:
    void refine();
    Cell* cells_ = nullptr;
    uint64_t count_ = 0;
    uint32_t unit_ = 4;
    std::unordered_map<uint64_t, Rare> rare_;  // by the number of the cell
};

// A cp.async writes twice: it departs, from when on nobody may touch the place, and it arrives.
enum class Flight : uint8_t { None, Departs, Arrives };

// What a cp.async in flight reads: nobody may write there, not even its own thread.
struct Source { uint32_t thread, nbytes, site; };

class Checker {
public:
    Checker(Launch& launch, std::vector<Access>& trace);
    void begin_block(Block& block);
    char* access(ThreadState& thread, uint64_t address, uint32_t site, uint64_t nbytes, Flight flight = Flight::None);
    void after_barrier(Block& block);
    void after_warp_barrier(ThreadState* first, uint32_t present);
    void fence(ThreadState& thread, Scope scope);
    void acquire(ThreadState& thread);
    void depart(ThreadState& thread, const Copy& copy);
    void arrive(ThreadState& thread, const Copy& copy);

private:
    Area& find(ThreadState& thread, uint64_t address, uint32_t site, uint64_t nbytes);
    [[noreturn]] void out_of_bounds(ThreadState& thread, uint32_t site, const Area& area, int64_t offset,
                                    uint64_t nbytes);
    static Frame* frame_of(const ThreadState& thread, uint64_t address);
    char* access_local(ThreadState& thread, uint64_t address, uint32_t site, uint64_t nbytes);
    void check_race(ThreadState& thread, Area& area, uint64_t offset, uint64_t nbytes, Stamp now, Kind kind,
                    Flight flight);
    void check_sources(ThreadState& thread, const Area& area, uint64_t offset, uint64_t nbytes, uint32_t site);
    bool conflict(Stamp a, Stamp b) const;
    void note(ThreadState& thread, Area& area, Cell& cell, Stamp now, const Site& site);
    void remember(const ThreadState& thread, Stamp (&pair)[2], Stamp now);
    bool before(Stamp stamp, const ThreadState& thread) const;
    const Site& site_of(Stamp stamp) const { return launch_.request.sites[stamp.site]; }
    std::string who(const ThreadState& thread, Stamp other) const;
    [[noreturn]] void race(ThreadState& thread, Stamp now, const std::string& what, Stamp other);
    [[noreturn]] void not_constant(ThreadState& thread, Stamp now, const std::string& what, Stamp other);
    void exchange_knowledge(ThreadState& thread, uint64_t address, const Site& site, bool in_shared);
    void record(ThreadState& thread, const Area& area, uint64_t address, uint32_t site, uint64_t nbytes);

    Launch& launch_;
    std::map<uint64_t, Area> areas_;  // global memory, by address
    Area* last_;                      // the one that was touched last
    std::vector<uint8_t> shared_written_;
    std::unique_ptr<Area> shared_;
    // By atomics, at their addresses: for all, and for the threads of the block that runs.
    std::unordered_map<uint64_t, Knowledge> published_, published_in_block_;
    std::multimap<uint64_t, Source> sources_;  // by address
    std::vector<Access>& trace_;
    std::unordered_map<uint64_t, uint32_t> occurrences_;
};

}  // namespace emulator
