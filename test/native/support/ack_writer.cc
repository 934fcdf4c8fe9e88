// Writes blocks to a device and remembers which were acknowledged, so that a test can tell after any crash whether one was lost.
//
//   ack_writer write  DEVICE JOURNAL [--blocks N] [--threads N] [--seed N] [--sync] [--seconds N] [--hot N]
//   ack_writer verify DEVICE JOURNAL
//
// Every 4 KiB block names itself, its sequence number and the seed, and is filled from them. The journal (a shared mapping, so that it
// outlives the writer) holds per block the last sequence number handed to the device and the last one it acknowledged. A block read back
// must carry a number from acknowledged to submitted, whole. write ends by itself after --seconds, on SIGTERM, or at the first I/O error
// (exit 3); --hot N keeps to N blocks per thread for 64 writes at a time, like a file system; --sync adds O_DSYNC.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr uint64_t kBlockBytes = 4096;
constexpr uint64_t kSectorBytes = 512;
constexpr uint64_t kMagic = 0x4b434f4c42534b43;
constexpr uint64_t kWords = kBlockBytes / sizeof(uint64_t);

std::atomic<bool> g_stop{false};

struct Entry {
  std::atomic<uint64_t> submitted;
  std::atomic<uint64_t> acknowledged;
};

struct Journal {
  uint64_t magic;
  uint64_t seed;
  uint64_t blocks;
  uint64_t reserved;
  Entry* entries() { return reinterpret_cast<Entry*>(this + 1); }
};

uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

void Fill(uint64_t* words, uint64_t seed, uint64_t block, uint64_t sequence) {
  words[0] = kMagic;
  words[1] = seed;
  words[2] = block;
  words[3] = sequence;
  const uint64_t base = Mix(seed ^ Mix(block ^ Mix(sequence)));
  for (uint64_t i = 4; i < kWords; ++i) words[i] = base * (2 * i + 1);
}

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "ack_writer: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(2);
}

Journal* Map(const char* path, uint64_t seed, uint64_t blocks, bool create) {
  const int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
  if (fd < 0) Die(path);
  struct stat st {};
  if (fstat(fd, &st) != 0) Die(path);
  const size_t wanted = sizeof(Journal) + blocks * sizeof(Entry);
  const bool fresh = st.st_size == 0;
  if (fresh && (!create || ftruncate(fd, static_cast<off_t>(wanted)) != 0)) Die(path);
  void* memory = mmap(nullptr, fresh ? wanted : static_cast<size_t>(st.st_size), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) Die(path);
  auto* journal = static_cast<Journal*>(memory);
  if (fresh) *journal = Journal{kMagic, seed, blocks, 0};
  if (journal->magic != kMagic) Die("not a journal");
  close(fd);
  return journal;
}

struct Options {
  uint64_t blocks = 1024, threads = 4, seed = 1, seconds = 0, hot = 0;
  bool sync = false;
};

/// Each thread owns the blocks congruent to its number, so that no two writes of one block are ever in flight.
void Work(int fd, Journal* journal, const Options& options, uint64_t self, std::atomic<uint64_t>* acks, std::atomic<int>* error) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kBlockBytes, kBlockBytes) != 0) Die("memory");
  auto* words = static_cast<uint64_t*>(memory);
  std::mt19937_64 random(options.seed * 1000 + self);
  const uint64_t own = (journal->blocks - self + options.threads - 1) / options.threads;
  std::vector<uint64_t> hot(options.hot);
  for (uint64_t round = 0; !g_stop.load(std::memory_order_relaxed); ++round) {
    if (round % 64 == 0) {
      for (auto& index : hot) index = random() % own;
    }
    const uint64_t index = hot.empty() ? random() % own : hot[random() % hot.size()];
    const uint64_t block = index * options.threads + self;
    Entry& entry = journal->entries()[block];
    const uint64_t sequence = entry.submitted.load() + 1;
    Fill(words, journal->seed, block, sequence);
    entry.submitted.store(sequence);
    if (pwrite(fd, words, kBlockBytes, static_cast<off_t>(block * kBlockBytes)) != static_cast<ssize_t>(kBlockBytes)) {
      int expected = 0;
      error->compare_exchange_strong(expected, errno == 0 ? EIO : errno);
      g_stop.store(true);
      break;
    }
    entry.acknowledged.store(sequence);
    acks->fetch_add(1, std::memory_order_relaxed);
  }
  std::free(memory);
}

int Write(const char* device, const char* path, const Options& options) {
  const int fd = open(device, O_WRONLY | O_DIRECT | O_CLOEXEC | (options.sync ? O_DSYNC : 0));
  if (fd < 0) Die(device);
  Journal* journal = Map(path, options.seed, options.blocks, true);
  std::atomic<uint64_t> acks{0};
  std::atomic<int> error{0};
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < options.threads; ++i) threads.emplace_back(Work, fd, journal, std::cref(options), i, &acks, &error);
  std::printf("writing\n");
  std::fflush(stdout);
  const auto begin = std::chrono::steady_clock::now();
  while (!g_stop.load()) {
    usleep(20000);
    if (options.seconds != 0 && std::chrono::steady_clock::now() - begin >= std::chrono::seconds(options.seconds)) g_stop.store(true);
  }
  for (auto& thread : threads) thread.join();
  std::printf("acknowledged %" PRIu64 " error %d\n", acks.load(), error.load());
  return error.load() == 0 ? 0 : 3;
}

int Verify(const char* device, const char* path) {
  const int fd = open(device, O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (fd < 0) Die(device);
  Journal* journal = Map(path, 0, 0, false);
  void* memory = nullptr;
  if (posix_memalign(&memory, kBlockBytes, 2 * kBlockBytes) != 0) Die("memory");
  auto* found = static_cast<uint64_t*>(memory);
  uint64_t* wanted = found + kWords;
  uint64_t checked = 0, bad = 0;
  for (uint64_t block = 0; block < journal->blocks; ++block) {
    const uint64_t acknowledged = journal->entries()[block].acknowledged.load();
    const uint64_t submitted = journal->entries()[block].submitted.load();
    if (submitted == 0) continue;
    if (pread(fd, found, kBlockBytes, static_cast<off_t>(block * kBlockBytes)) != static_cast<ssize_t>(kBlockBytes)) Die(device);
    ++checked;
    const bool ours = found[0] == kMagic && found[1] == journal->seed && found[2] == block;
    const uint64_t sequence = ours ? found[3] : 0;
    // Without an acknowledged write the old contents may be anything. Of an acknowledged one every sector is there, or was overwritten by a
    // later write; only while one of those was under way may a block be a mixture.
    if (acknowledged == 0) continue;
    bool present[kBlockBytes / kSectorBytes] = {};
    for (uint64_t version = acknowledged; version <= submitted; ++version) {
      Fill(wanted, journal->seed, block, version);
      for (uint64_t i = 0; i < std::size(present); ++i) {
        const auto* sector = reinterpret_cast<const char*>(found) + i * kSectorBytes;
        present[i] |= std::memcmp(sector, reinterpret_cast<const char*>(wanted) + i * kSectorBytes, kSectorBytes) == 0;
      }
    }
    if (std::all_of(std::begin(present), std::end(present), [](bool there) { return there; })) continue;
    if (++bad <= 20) {
      std::printf("block %" PRIu64 ": acknowledged %" PRIu64 ", submitted %" PRIu64 ", found %" PRIu64 "%s\n", block, acknowledged, submitted, sequence,
                  ours ? "" : " (not ours)");
    }
  }
  std::printf("checked %" PRIu64 " bad %" PRIu64 "\n", checked, bad);
  return bad == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 4; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--sync") {
      options.sync = true;
      continue;
    }
    uint64_t* value = name == "--blocks"    ? &options.blocks
                      : name == "--threads" ? &options.threads
                      : name == "--seed"    ? &options.seed
                      : name == "--seconds" ? &options.seconds
                      : name == "--hot"     ? &options.hot
                                            : nullptr;
    if (value == nullptr || i + 1 >= argc) return std::fprintf(stderr, "ack_writer: %s?\n", argv[i]), 2;
    *value = std::strtoull(argv[++i], nullptr, 10);
  }
  signal(SIGTERM, [](int) { g_stop.store(true); });
  const std::string verb = argc >= 4 ? argv[1] : "";
  if (verb == "write") return Write(argv[2], argv[3], options);
  if (verb == "verify") return Verify(argv[2], argv[3]);
  std::fprintf(stderr, "usage: ack_writer write|verify DEVICE JOURNAL [options]\n");
  return 2;
}
