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
    rare_.clear();
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
    decltype(rare_) of_words;
    rare_.swap(of_words);
    for (auto& [word, rare] : of_words)
        for (uint64_t i = 0; i < 4; ++i) rare_[4 * word + i] = rare;
}

static bool all_set(const uint8_t* flags, uint64_t count)
{
    return std::find(flags, flags + count, 0) == flags + count;
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
        throw Failure{text(launch_.request.name, ": more than four million blocks; check mode needs a smaller case")};
    const Request& request = launch_.request;
    uint64_t nbytes = request.static_shared + request.dynamic_shared;
    shared_written_.assign(nbytes, 0);
    if (!shared_) shared_ = std::make_unique<Area>(0, nbytes, "shared memory", shared_written_.data());
    shared_->forget();  // each block has a shared memory of its own, of which this is the shadow now
    published_in_block_.clear();
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
             site.nbytes, ", not at ", area.byte(offset));
    Stamp now = {thread.block->number + 1, thread.index, thread.clock, number, flight == Flight::Departs};
    check_race(thread, area, offset, nbytes, now, site.kind, flight);
    if (!sources_.empty() && !in_shared && writes(site.kind)) check_sources(thread, area, offset, nbytes, number);
    if (area.written) {
        if (reads(site.kind) && !all_set(area.written + offset, nbytes))
            fail(thread, number, "uninitialised: this thread reads ", area.byte(offset),
                 ", which nothing has written yet");
        if (writes(site.kind) && flight != Flight::Departs) std::fill_n(area.written + offset, nbytes, 1);
    }
    if (is_atomic(site.kind)) exchange_knowledge(thread, address, site, in_shared);
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
    if (reads(kind) && !all_set(frame->written + offset, nbytes))
        fail(thread, number, "uninitialised: this thread reads a thread-local array where it has not written");
    if (writes(kind)) std::fill_n(frame->written + offset, nbytes, 1);
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
