#include "check.h"
#include <algorithm>

namespace emulator {

// ------------------------------------------------------------------------------------------------ shadow memory

static Cell* allocate(uint64_t count) { return static_cast<Cell*>(reserve_memory(count * sizeof(Cell))); }

Area::~Area()
{
    if (cells_) munmap(cells_, count_ * sizeof(Cell));
}

Cell* Area::cells(uint64_t offset, uint64_t length, uint64_t& count)
{
    if (!cells_) cells_ = allocate(count_ = (nbytes + 3) / 4);
    if (unit_ == 4 && ((length | begin) & 3)) refine();  // or words that begin between two of ours
    count = length / unit_;
    return cells_ + offset / unit_;
}

void Area::forget()
{
    if (cells_) std::fill_n(cells_, count_, Cell{});
}

// From a cell per word to a cell per byte: the array has small elements, and neighbours belong to different threads.
void Area::refine()
{
    Cell* fine = allocate(4 * count_);
    for (uint64_t i = 0; i < count_; ++i)
        if (cells_[i].write.block || cells_[i].reads[0].block || cells_[i].atomics[0].block)
            std::fill_n(fine + 4 * i, 4, cells_[i]);
    munmap(cells_, count_ * sizeof(Cell));
    cells_ = fine, count_ *= 4, unit_ = 1;
}

static std::string bytes_of(const Area& area, uint64_t offset) { return text("byte ", offset, " of ", area.name); }

static bool all_set(const uint8_t* flags, uint64_t count)
{
    return std::find(flags, flags + count, 0) == flags + count;
}

// ------------------------------------------------------------------------------------------------ what happened before

static uint64_t key(uint64_t block, uint64_t thread) { return block << 10 | thread; }

void Knowledge::join(const Knowledge& other)
{
    for (auto [thread, clock] : other.threads) threads[thread] = std::max(threads[thread], clock);
    for (auto [block, clock] : other.blocks) blocks[block] = std::max(blocks[block], clock);
}

bool Knowledge::has(Stamp stamp) const
{
    auto block = blocks.find(stamp.block);
    if (block != blocks.end() && stamp.clock < block->second) return true;
    auto thread = threads.find(key(stamp.block, stamp.thread));
    return thread != threads.end() && stamp.clock <= thread->second;
}

bool Checker::before(Stamp stamp, const ThreadState& thread) const
{
    const Block& block = *thread.block;
    if (stamp.block == 0) return true;  // nobody's
    if (stamp.block == block.number + 1) {
        if (stamp.thread == thread.index || stamp.clock < block.barrier_clock) return true;
        bool same_warp = stamp.thread / 32 == thread.index / 32;
        if (same_warp && stamp.clock <= thread.known[stamp.thread % 32]) return true;
    }
    return thread.acquired && thread.acquired->has(stamp);
}

// One clock for the whole block: what follows a synchronisation has a higher one than all that came before.
static uint16_t tick(Block& block)
{
    if (block.clock == 0xffff)
        throw Failure{"check mode: a block synchronises more than 65535 times; check a smaller case"};
    return ++block.clock;
}

void Checker::after_barrier(Block& block)
{
    block.barrier_clock = tick(block);
    std::shared_ptr<Knowledge> all;
    for (ThreadState& thread : block.threads) {
        thread.clock = block.barrier_clock;
        if (!thread.acquired) continue;
        if (!all) all = std::make_shared<Knowledge>();
        all->join(*thread.acquired);
    }
    if (all)
        for (ThreadState& thread : block.threads) thread.acquired = all;
}

void Checker::after_warp_barrier(ThreadState* first, uint32_t present)
{
    uint16_t known[32] = {}, clock = tick(*first->block);
    for (uint32_t lane = 0; lane < 32; ++lane) {
        if (!(present >> lane & 1)) continue;
        for (uint32_t other = 0; other < 32; ++other) known[other] = std::max(known[other], first[lane].known[other]);
        known[lane] = std::max(known[lane], first[lane].clock);
    }
    for (uint32_t lane = 0; lane < 32; ++lane)
        if (present >> lane & 1) {
            std::copy_n(known, 32, first[lane].known);
            first[lane].clock = clock;
        }
}

static std::shared_ptr<Knowledge> copy_of(const std::shared_ptr<const Knowledge>& known)
{
    return known ? std::make_shared<Knowledge>(*known) : std::make_shared<Knowledge>();
}

// What the thread did and has seen so far is what its next atomics publish.
void Checker::fence(ThreadState& thread)
{
    auto seen = copy_of(thread.acquired);
    uint64_t block = thread.block->number + 1;
    seen->blocks[block] = thread.block->barrier_clock;
    seen->threads[key(block, thread.index)] = thread.clock;
    thread.fenced = seen;
    thread.clock = tick(*thread.block);
}

void Checker::exchange_knowledge(ThreadState& thread, uint64_t address)
{
    auto found = published_.find(address);
    if (found != published_.end()) {
        auto seen = copy_of(thread.acquired);
        seen->join(found->second);
        thread.acquired = seen;
    }
    if (thread.fenced) published_[address].join(*thread.fenced);
}

// ------------------------------------------------------------------------------------------------ races

void Checker::check_race(ThreadState& thread, Area& area, uint64_t offset, uint64_t nbytes, Stamp now, Kind kind,
                         Flight flight)
{
    uint64_t count = 0;
    Cell* cells = area.cells(offset, nbytes, count);
    for (uint64_t i = 0; i < count; ++i) {
        Cell& cell = cells[i];
        auto complain = [&](Stamp other, bool wrote) {
            race(thread, now.site, bytes_of(area, offset + i * (nbytes / count)), kind, other, wrote);
        };
        bool in_flight = cell.write.in_flight && flight != Flight::Arrives;
        if (in_flight || !before(cell.write, thread)) complain(cell.write, true);
        if (kind != Kind::Atomic)
            for (Stamp atomic : cell.atomics)
                if (!before(atomic, thread)) complain(atomic, true);
        if (kind != Kind::Read)
            for (Stamp read : cell.reads)
                if (!before(read, thread)) complain(read, false);
        if (kind == Kind::Write)
            cell = {now, {}, {}};
        else
            remember(thread, kind == Kind::Read ? cell.reads : cell.atomics, now);
    }
}

static int distance(Stamp a, Stamp b)
{
    if (a.block != b.block) return 3;
    return a.thread / 32 != b.thread / 32 ? 2 : a.thread != b.thread;
}

void Checker::remember(const ThreadState& thread, Stamp (&pair)[2], Stamp now)
{
    auto& [first, second] = pair;
    // Who is ordered after `now` is ordered after what happened before it: `now` can stand for that.
    if (before(first, thread)) first = {};
    if (before(second, thread)) second = {};
    if (!first.block)
        first = now;
    else if (!second.block || distance(first, now) > distance(first, second))
        second = now;
}

void Checker::race(ThreadState& thread, uint32_t site, const std::string& what, Kind kind, Stamp other, bool wrote)
{
    const Request& request = launch_.request;
    std::string who = text("thread ", coordinates(request.block, uint32_t(other.thread)));
    if (other.block != thread.block->number + 1)
        who += text(" of block ", coordinates(request.grid, uint32_t(other.block - 1)));
    std::string where = place(request.sites[other.site]);
    const char* does = kind == Kind::Read ? "reads " : kind == Kind::Write ? "writes " : "atomically updates ";
    if (other.in_flight)
        fail(thread, site, "data race: this thread ", does, what, " while ", who,
             " has a cp.async to it in flight, issued at ", where);
    fail(thread, site, "data race: this thread ", does, what, ", which ", who, wrote ? " wrote" : " read", " at ",
         where, ", with no synchronisation between the two");
}

// ------------------------------------------------------------------------------------------------ accesses

Checker::Checker(Launch& launch, std::vector<Access>& trace) : launch_(launch), trace_(trace)
{
    const Request& request = launch.request;
    for (uint64_t i = 0; i < request.region_count; ++i) {
        const Region& region = request.regions[i];
        areas_.try_emplace(region.address, region.address, region.nbytes, region.name, region.written);
    }
    uint64_t parameters = reinterpret_cast<uint64_t>(request.parameters);
    areas_.try_emplace(parameters, parameters, request.parameters_nbytes, "the kernel's parameters", nullptr);
    last_ = &areas_.begin()->second;
}

void Checker::begin_block(Block& block)
{
    if (block.number + 1 >= 1u << 22)
        throw Failure{"check mode: more than four million blocks; check a smaller case"};
    const Request& request = launch_.request;
    uint64_t nbytes = request.static_shared + request.dynamic_shared;
    shared_written_.assign(nbytes, 0);
    if (!shared_) shared_ = std::make_unique<Area>(0, nbytes, "shared memory", shared_written_.data());
    shared_->forget();  // each block has a shared memory of its own, of which this is the shadow now
}

char* access(Thread& thread, uint64_t address, uint32_t site)
{
    const Launch& launch = thread.block->launch;
    return launch.checker->access(state(thread), address, site, launch.request.sites[site].nbytes);
}

char* Checker::access(ThreadState& thread, uint64_t address, uint32_t number, uint64_t nbytes, Flight flight)
{
    const Site& site = launch_.request.sites[number];
    if (nbytes == 0) return nullptr;
    if (site.space == Space::Local || (site.space == Space::Generic && frame_of(thread, address)))
        return access_local(thread, address, number, nbytes);
    Area& area = find(thread, address, number, nbytes);
    bool in_shared = &area == shared_.get();
    if (in_shared && site.space == Space::Generic) address -= reinterpret_cast<uint64_t>(thread.shared);
    uint64_t offset = address - area.begin;
    if (offset + nbytes > area.nbytes) out_of_bounds(thread, number, area, offset, nbytes);
    if (address % site.nbytes)
        fail(thread, number, "misaligned: an access of ", site.nbytes, " bytes must begin at a multiple of ",
             site.nbytes, ", not at ", bytes_of(area, offset));
    Stamp now = {thread.block->number + 1, thread.index, thread.clock, number, flight == Flight::Departs};
    check_race(thread, area, offset, nbytes, now, site.kind, flight);
    if (area.written) {
        if (site.kind != Kind::Write && !all_set(area.written + offset, nbytes))
            fail(thread, number, "uninitialised: this thread reads ", bytes_of(area, offset),
                 ", which nothing has written yet");
        if (site.kind != Kind::Read && flight != Flight::Departs) std::fill_n(area.written + offset, nbytes, 1);
    }
    if (site.kind == Kind::Atomic) exchange_knowledge(thread, address);
    if (launch_.request.only_block >= 0 && flight != Flight::Arrives) record(thread, area, address, number, nbytes);
    return in_shared ? thread.shared + offset : reinterpret_cast<char*>(address);
}

// The area that holds `address`, or complains and names the nearest one.
Area& Checker::find(ThreadState& thread, uint64_t address, uint32_t site, uint64_t nbytes)
{
    Space space = launch_.request.sites[site].space;
    uint64_t offset = space == Space::Shared ? address : address - reinterpret_cast<uint64_t>(thread.shared);
    if (shared_->contains(offset) && space != Space::Global) return *shared_;
    if (space == Space::Shared) out_of_bounds(thread, site, *shared_, int32_t(address), nbytes);
    if (last_->contains(address)) return *last_;
    auto after = areas_.upper_bound(address);
    Area* below = after == areas_.begin() ? nullptr : &std::prev(after)->second;
    Area* above = after == areas_.end() ? nullptr : &after->second;
    if (below && below->contains(address)) return *(last_ = below);
    bool above_is_nearer = above && (!below || above->begin - address < address - below->begin - below->nbytes);
    const Area& nearest = above_is_nearer ? *above : *below;
    out_of_bounds(thread, site, nearest, int64_t(address - nearest.begin), nbytes);
}

void Checker::out_of_bounds(ThreadState& thread, uint32_t site, const Area& area, int64_t offset, uint64_t nbytes)
{
    fail(thread, site, "out of bounds: ", nbytes, " bytes at byte ", offset, " of ", area.name, ", which has ",
         area.nbytes);
}

Frame* Checker::frame_of(const ThreadState& thread, uint64_t address)
{
    for (Frame* frame = thread.frame; frame; frame = frame->outer)
        if (address - reinterpret_cast<uint64_t>(frame->begin) < frame->nbytes) return frame;
    return nullptr;
}

char* Checker::access_local(ThreadState& thread, uint64_t address, uint32_t number, uint64_t nbytes)
{
    Kind kind = launch_.request.sites[number].kind;
    Frame* frame = frame_of(thread, address);
    uint64_t offset = frame ? address - reinterpret_cast<uint64_t>(frame->begin) : 0;
    if (!frame || offset + nbytes > frame->nbytes)
        fail(thread, number, "out of bounds: ", nbytes, " bytes outside the function's thread-local arrays");
    if (address % nbytes) fail(thread, number, "misaligned: an access of ", nbytes, " bytes to a thread-local array");
    if (kind == Kind::Read && !all_set(frame->written + offset, nbytes))
        fail(thread, number, "uninitialised: this thread reads a thread-local array where it has not written");
    if (kind != Kind::Read) std::fill_n(frame->written + offset, nbytes, 1);
    return frame->begin + offset;
}

void Checker::record(ThreadState& thread, const Area& area, uint64_t address, uint32_t site, uint64_t nbytes)
{
    uint32_t& occurrence = occurrences_[uint64_t(site) << 10 | thread.index];
    trace_.push_back({site, thread.index, occurrence++, uint32_t(nbytes), address, &area == shared_.get()});
}

Frame::Frame(Thread& t, char* begin, uint8_t* written, uint32_t nbytes)
    : outer(state(t).frame), thread(t), begin(begin), written(written), nbytes(nbytes)
{
    state(t).frame = this;
}
Frame::~Frame() { state(thread).frame = outer; }

}  // namespace emulator
