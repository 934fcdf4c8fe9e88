// Backing disks: who may open them, what they measure, and that requests through the ring arrive.
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/disk_queue.h"
#include "io/memory.h"
#include "io/ring.h"

#undef CHECK  // here it is the test framework's, not the one that aborts
#include <doctest/doctest.h>

namespace {

using namespace drbdts;

/// A file that goes away by itself. Not in /tmp, which may be a tmpfs without direct I/O.
struct TempFile {
  std::string path;
  explicit TempFile(uint64_t bytes) {
    char name[] = "/var/tmp/drbdts-disk-XXXXXX";
    const int fd = mkstemp(name);
    REQUIRE(fd >= 0);
    REQUIRE(ftruncate(fd, static_cast<off_t>(bytes)) == 0);
    close(fd);
    path = name;
  }
  ~TempFile() { unlink(path.c_str()); }
};

struct Answers final : io::DiskSink {
  std::map<core::IoId, int> errors;
  void OnDiskDone(uint16_t, core::IoId io, int error, const io::DiskRequest&) override {
    CHECK(errors.count(io) == 0);
    errors[io] = error;
  }
};

struct Bench {
  io::Ring ring;
  Answers answers;
  std::unique_ptr<io::DiskQueue> queue;
  io::LockedMemory memory{4u << 20};
  Bench() {
    REQUIRE_FALSE(ring.Open(64).failed());
    queue = std::make_unique<io::DiskQueue>(ring, answers, 2);
  }
  void RunAll() {
    while (queue->in_flight() > 0) {
      ring.SubmitAndWait(core::kNever);
      io::Completion completions[16];
      const uint32_t count = ring.Take(completions, 16);
      for (uint32_t i = 0; i < count; i++) queue->OnCompletion(completions[i].tag, completions[i].result);
    }
  }
  int One(io::DiskOp op, int fd, uint64_t offset, uint64_t bytes, uint8_t* data, bool dsync = false, bool may_unmap = false) {
    static core::IoId next = 1;
    io::DiskRequest request;
    request.op = op;
    request.fd = fd;
    request.io = next++;
    request.offset_bytes = offset;
    request.bytes = bytes;
    request.data = data;
    request.dsync = dsync;
    request.may_unmap = may_unmap;
    queue->Start(request);
    RunAll();
    return answers.errors.at(request.io);
  }
};

io::DiskSpec Internal(const std::string& path) {
  io::DiskSpec spec;
  spec.disk = path;
  return spec;
}

}  // namespace

TEST_CASE("a file is measured in sectors and says what it can do") {
  TempFile file((8u << 20) + 512);
  io::Failure failure;
  const auto disk = io::Disk::Open(Internal(file.path), failure);
  REQUIRE_MESSAGE(disk != nullptr, failure.detail);
  CHECK(disk->facts().backing_sectors == (8u << 20) / 512 + 1);
  CHECK(disk->facts().meta_sectors == disk->facts().backing_sectors);
  CHECK(disk->meta_fd() == disk->data_fd());
  CHECK_FALSE(disk->data_is_block_device());
  const uint32_t logical = disk->facts().logical_block_bytes;
  CHECK((logical == 512 || logical == 4096));
  CHECK(disk->facts().physical_block_bytes >= logical);
  struct stat st {};
  REQUIRE(stat(file.path.c_str(), &st) == 0);
  CHECK(st.st_size == (8 << 20) + 512);  // looking changed nothing
}

TEST_CASE("the second user of a disk is refused and told who has it") {
  TempFile file(1u << 20);
  io::Failure failure;
  auto first = io::Disk::Open(Internal(file.path), failure);
  REQUIRE(first != nullptr);
  auto second = io::Disk::Open(Internal(file.path), failure);
  CHECK(second == nullptr);
  CHECK(failure.code == core::ErrorCode::kBusy);
  CHECK(failure.detail.find(file.path) != std::string::npos);
  CHECK(failure.detail.find("pid " + std::to_string(getpid())) != std::string::npos);
  CHECK_FALSE(failure.remedy.empty());
  first.reset();
  second = io::Disk::Open(Internal(file.path), failure);
  CHECK(second != nullptr);
}

TEST_CASE("a lock that goes away in time is waited for") {
  TempFile file(1u << 20);
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const int fd = open(file.path.c_str(), O_RDWR);
    flock(fd, LOCK_EX);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    poll(nullptr, 0, 200);
    _exit(0);
  }
  char byte = 0;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  io::Failure failure;
  io::DiskSpec spec = Internal(file.path);
  CHECK(io::Disk::Open(spec, failure) == nullptr);
  spec.lock_wait_ms = 30000;
  CHECK(io::Disk::Open(spec, failure) != nullptr);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
}

TEST_CASE("slots of an indexed meta-disk are shared out, the same one is refused") {
  TempFile data0(1u << 20);
  TempFile data1(1u << 20);
  TempFile data2(1u << 20);
  TempFile meta(uint64_t{3} << 27);
  const auto spec = [&](const std::string& data, uint32_t index) {
    io::DiskSpec s = Internal(data);
    s.meta_disk = meta.path;
    s.place = {core::MetaDataPlace::Kind::kIndexed, index};
    return s;
  };
  io::Failure failure;
  const auto first = io::Disk::Open(spec(data0.path, 0), failure);
  REQUIRE_MESSAGE(first != nullptr, failure.detail);
  CHECK(first->facts().meta_sectors == (uint64_t{3} << 27) / 512);
  CHECK(first->meta_fd() != first->data_fd());
  const auto second = io::Disk::Open(spec(data1.path, 1), failure);
  CHECK_MESSAGE(second != nullptr, failure.detail);
  CHECK(io::Disk::Open(spec(data2.path, 1), failure) == nullptr);
  CHECK(failure.code == core::ErrorCode::kBusy);
  CHECK(failure.detail.find("slot 1") != std::string::npos);
}

TEST_CASE("what is no disk is refused by name") {
  io::Failure failure;
  CHECK(io::Disk::Open(Internal("/nonexistent/disk"), failure) == nullptr);
  CHECK(failure.code == core::ErrorCode::kNotFound);
  CHECK(failure.os_errno == ENOENT);
  CHECK(io::Disk::Open(Internal("/dev/null"), failure) == nullptr);
  CHECK(failure.code == core::ErrorCode::kInvalidArgument);
  CHECK(io::Disk::Open(Internal("/tmp"), failure) == nullptr);
  CHECK(failure.code == core::ErrorCode::kInvalidArgument);
  TempFile file(1u << 20);
  io::DiskSpec same = Internal(file.path);
  same.meta_disk = file.path;
  same.place.kind = core::MetaDataPlace::Kind::kFlexible;
  same.lock_wait_ms = 0;
  CHECK(io::Disk::Open(same, failure) == nullptr);
}

TEST_CASE("writes come back, durable ones too, and flush succeeds") {
  TempFile file(8u << 20);
  io::Failure failure;
  const auto disk = io::Disk::Open(Internal(file.path), failure);
  REQUIRE(disk != nullptr);
  Bench bench;
  uint8_t* out = bench.memory.data();
  uint8_t* in = out + (2u << 20);
  for (uint32_t i = 0; i < (1u << 20); i++) out[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
  const int fd = disk->data_fd();
  CHECK(bench.One(io::DiskOp::kWrite, fd, 1u << 20, 1u << 20, out, true) == 0);
  CHECK(bench.One(io::DiskOp::kWrite, fd, 0, 4096, out, false) == 0);
  CHECK(bench.One(io::DiskOp::kFlush, fd, 0, 0, nullptr) == 0);
  CHECK(bench.One(io::DiskOp::kRead, fd, 1u << 20, 1u << 20, in) == 0);
  CHECK(std::memcmp(in, out, 1u << 20) == 0);
  CHECK(bench.One(io::DiskOp::kRead, fd, 0, 4096, in) == 0);
  CHECK(std::memcmp(in, out, 4096) == 0);
}

TEST_CASE("more requests than slots are all answered once") {
  TempFile file(8u << 20);
  io::Failure failure;
  const auto disk = io::Disk::Open(Internal(file.path), failure);
  REQUIRE(disk != nullptr);
  Bench bench;
  for (core::IoId id = 1; id <= 200; id++) {
    io::DiskRequest request;
    request.op = io::DiskOp::kWrite;
    request.volume = static_cast<uint16_t>(id % 3);
    request.fd = disk->data_fd();
    request.io = id;
    request.offset_bytes = id * 4096;
    request.bytes = 4096;
    request.data = bench.memory.data();
    bench.queue->Start(request);
  }
  CHECK(bench.queue->in_flight() == 200);
  CHECK(bench.queue->in_flight(0) + bench.queue->in_flight(1) + bench.queue->in_flight(2) == 200);
  bench.RunAll();
  CHECK(bench.answers.errors.size() == 200);
  for (const auto& [id, error] : bench.answers.errors) CHECK_MESSAGE(error == 0, id);
}

TEST_CASE("discarded and zeroed ranges read back as zeroes") {
  TempFile file(8u << 20);
  io::Failure failure;
  const auto disk = io::Disk::Open(Internal(file.path), failure);
  REQUIRE(disk != nullptr);
  Bench bench;
  uint8_t* data = bench.memory.data();
  const int fd = disk->data_fd();
  std::vector<uint8_t> zeroes(1u << 20);
  for (const bool may_unmap : {false, true}) {
    std::memset(data, 0xa5, 1u << 20);
    REQUIRE(bench.One(io::DiskOp::kWrite, fd, 0, 1u << 20, data) == 0);
    CHECK(bench.One(io::DiskOp::kZero, fd, 4096, 512 * 1024, nullptr, true, may_unmap) == 0);
    REQUIRE(bench.One(io::DiskOp::kRead, fd, 0, 1u << 20, data) == 0);
    CHECK(data[4095] == 0xa5);
    CHECK(std::memcmp(data + 4096, zeroes.data(), 512 * 1024) == 0);
    CHECK(data[4096 + 512 * 1024] == 0xa5);
  }
  if (disk->facts().can_discard) {
    struct stat before {};
    struct stat after {};
    REQUIRE(bench.One(io::DiskOp::kFlush, fd, 0, 0, nullptr) == 0);
    REQUIRE(fstat(fd, &before) == 0);
    CHECK(bench.One(io::DiskOp::kDiscard, fd, 0, 1u << 20, nullptr) == 0);
    REQUIRE(fstat(fd, &after) == 0);
    CHECK(after.st_blocks < before.st_blocks);
    CHECK(after.st_size == before.st_size);
    REQUIRE(bench.One(io::DiskOp::kRead, fd, 0, 1u << 20, data) == 0);
    CHECK(disk->facts().discard_zeroes);
    CHECK(std::memcmp(data, zeroes.data(), 1u << 20) == 0);
  }
}

TEST_CASE("what the disk cannot do comes back as an error") {
  TempFile file(1u << 20);
  io::Failure failure;
  const auto disk = io::Disk::Open(Internal(file.path), failure);
  REQUIRE(disk != nullptr);
  Bench bench;
  const int fd = disk->data_fd();
  CHECK(bench.One(io::DiskOp::kWrite, fd, 100, 512, bench.memory.data()) == EINVAL);         // not on a sector
  CHECK(bench.One(io::DiskOp::kRead, fd, 1u << 20, 4096, bench.memory.data()) == EIO);       // behind the end
  CHECK(bench.One(io::DiskOp::kRead, fd, (1u << 20) - 4096, 8192, bench.memory.data()) == EIO);  // across the end
  CHECK(bench.One(io::DiskOp::kRead, -1, 0, 4096, bench.memory.data()) == EBADF);
}
