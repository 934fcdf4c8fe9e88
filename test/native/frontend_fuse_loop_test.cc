// Needs root, /dev/fuse and loop devices; says so and passes where they are missing.
#include "frontend/fuse_loop.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "frontend/device_node.h"
#include "frontend/loop_device.h"
#include "frontend/notify.h"
#include "frontend_suite.h"

namespace drbdts::test {
namespace {

bool CanRun() {
  bool can = geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0 && access("/dev/loop-control", R_OK | W_OK) == 0;
  if (!can) MESSAGE("skipped: needs root, /dev/fuse and /dev/loop-control");
  return can;
}

std::string TempDirectory() {
  char path[] = "/tmp/drbdts-frontend-XXXXXX";
  REQUIRE(mkdtemp(path) != nullptr);
  return path;
}

/// Runs a shell command; its output, with the exit status in the last line.
std::string Shell(const std::string& command) {
  FILE* pipe = popen(("{ " + command + " ; } 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  char part[4096];
  while (size_t bytes = fread(part, 1, sizeof part, pipe)) text.append(part, bytes);
  int status = pclose(pipe);
  return text + "exit " + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

bool Succeeds(const std::string& command) {
  std::string text = Shell(command);
  bool ok = text.size() >= 6 && text.compare(text.size() - 6, 6, "exit 0") == 0;
  if (!ok) MESSAGE(command << "\n" << text);
  return ok;
}

/// A child process that runs a shell script and ends when told; `Ready` when it printed a line.
class Script {
 public:
  explicit Script(const std::string& text) {
    REQUIRE(pipe2(in_, O_CLOEXEC) == 0);
    REQUIRE(pipe2(out_, O_CLOEXEC) == 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in_[0], 0);
      dup2(out_[1], 1);
      execl("/bin/sh", "sh", "-c", text.c_str(), nullptr);
      _exit(127);
    }
    close(in_[0]);
    close(out_[1]);
    char c;
    while (read(out_[0], &c, 1) == 1 && c != '\n') {
    }
  }
  ~Script() { End(); }
  void End() {
    if (pid_ <= 0) return;
    close(in_[1]);
    waitpid(pid_, nullptr, 0);
    close(out_[0]);
    pid_ = -1;
  }

 private:
  int in_[2] = {-1, -1};
  int out_[2] = {-1, -1};
  pid_t pid_ = -1;
};

class FuseRig final : public Rig {
 public:
  FuseRig(uint64_t bytes, uint32_t block_bytes, uint32_t arena_pages = 4096)
      : directory(TempDirectory()),
        device(directory + "/drbd0"),
        link(directory + "/by-res/r0/0"),
        target_(bytes, arena_pages),
        frontend_(std::make_unique<frontend::FuseLoop>(target_, events_, Config(bytes, block_bytes))),
        buffer_(MapMemory(1 << 20)) {
    target_.frontend = frontend_.get();
    thread_ = std::make_unique<DeviceThread>(*frontend_, target_);
  }
  ~FuseRig() override {
    thread_.reset();
    frontend_.reset();
    munmap(buffer_.data(), buffer_.size());
    // Everything is gone but the directory itself.
    CHECK(target_.arena().free_pages() == target_.arena().pages());
    CHECK(rmdir(directory.c_str()) == 0);
  }
  frontend::FrontendConfig Config(uint64_t bytes, uint32_t block_bytes) const {
    return {"frontend test", 0, 0, device, {link}, bytes / 512, block_bytes, {}, {}};
  }
  frontend::Frontend& frontend() override { return *frontend_; }
  RamTarget& target() override { return target_; }
  Recorder& events() override { return events_; }
  void Do(std::function<void()> task) override { thread_->Do(std::move(task)); }
  int Write(uint64_t offset, const std::vector<uint8_t>& data) override {
    std::memcpy(buffer_.data(), data.data(), data.size());
    return With(O_WRONLY, [&](int fd) { return pwrite(fd, buffer_.data(), data.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(data.size()); });
  }
  int Read(uint64_t offset, std::vector<uint8_t>& data) override {
    int error = With(O_RDONLY, [&](int fd) { return pread(fd, buffer_.data(), data.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(data.size()); });
    std::memcpy(data.data(), buffer_.data(), data.size());
    return error;
  }
  int Flush() override {
    return With(O_WRONLY, [](int fd) { return fsync(fd) == 0; });
  }
  int Discard(uint64_t offset, uint64_t bytes) override {
    uint64_t range[2] = {offset, bytes};
    return With(O_WRONLY, [&](int fd) { return ioctl(fd, BLKDISCARD, range) == 0; });
  }
  int Zero(uint64_t offset, uint64_t bytes) override {
    uint64_t range[2] = {offset, bytes};
    return With(O_WRONLY, [&](int fd) { return ioctl(fd, BLKZEROOUT, range) == 0; });
  }
  uint64_t SizeBytes() override {
    uint64_t bytes = 0;
    CHECK(With(O_RDONLY, [&](int fd) { return ioctl(fd, BLKGETSIZE64, &bytes) == 0; }) == 0);
    return bytes;
  }
  void Hold() override { holder_ = std::make_unique<Script>("exec 3<'" + device + "'; echo ready; read x"); }
  void LetGo() override { holder_.reset(); }
  int LoopNumber() const { return frontend::LoopNumberOfNode(device); }

  const std::string directory;
  const std::string device;
  const std::string link;

 private:
  template <typename Call>
  int With(int flags, Call call) {
    int fd = open(device.c_str(), flags | O_DIRECT | O_CLOEXEC);
    if (fd < 0) return errno;
    int error = call(fd) ? 0 : errno;
    close(fd);
    return error;
  }

  RamTarget target_;
  Recorder events_;
  std::unique_ptr<frontend::FuseLoop> frontend_;
  std::unique_ptr<DeviceThread> thread_;
  std::unique_ptr<Script> holder_;
  std::span<uint8_t> buffer_;
};

TEST_CASE("fuse_loop: the suite with 512 byte sectors") {
  if (!CanRun()) return;
  FuseRig rig(64 << 20, 512);
  RunFrontendSuite(rig, 512);
}

TEST_CASE("fuse_loop: the suite with 4096 byte sectors") {
  if (!CanRun()) return;
  FuseRig rig(64 << 20, 4096);
  RunFrontendSuite(rig, 4096);
  REQUIRE(rig.Start().error == 0);
  CHECK(frontend::LoopBlockBytes(rig.LoopNumber()) == 4096);
  CHECK(rig.Write(512, RandomBytes(512, 1)) == EINVAL);  // the kernel refuses less than a sector
  REQUIRE(rig.Stop().error == 0);
}

TEST_CASE("fuse_loop: node and links come and go, nothing is left, and the place tells why the device is not there") {
  if (!CanRun()) return;
  FuseRig rig(32 << 20, 512);
  auto is_sign = [&] {
    char target[256];
    ssize_t length = readlink(rig.device.c_str(), target, sizeof target);
    std::string text(target, length < 0 ? 0 : static_cast<size_t>(length));
    errno = 0;
    // Neither reading nor writing opens it, and writing makes no plain file there.
    bool refused = open(rig.device.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 && errno == ENOENT && open(rig.device.c_str(), O_RDONLY) < 0;
    return refused && text.find("is Secondary on this node: drbdts primary") != std::string::npos;
  };
  CHECK(is_sign());
  REQUIRE(rig.Start().error == 0);
  int number = rig.LoopNumber();
  CHECK(number >= 0);
  struct stat by_node, by_link;
  REQUIRE(stat(rig.device.c_str(), &by_node) == 0);
  REQUIRE(stat(rig.link.c_str(), &by_link) == 0);
  CHECK(S_ISBLK(by_node.st_mode));
  CHECK(by_node.st_rdev == by_link.st_rdev);
  REQUIRE(rig.Stop().error == 0);
  CHECK(is_sign());
  CHECK(access((rig.directory + "/by-res").c_str(), F_OK) != 0);
  CHECK(access(("/sys/block/loop" + std::to_string(number) + "/loop").c_str(), F_OK) != 0);
}

TEST_CASE("fuse_loop: a file standing in the device's place is not touched") {
  if (!CanRun()) return;
  FuseRig rig(32 << 20, 512);
  frontend::RemoveSecondarySign(rig.device);
  std::ofstream(rig.device) << "mine";
  Recorder::Fact fact = rig.Start();
  CHECK(fact.error == EEXIST);
  CHECK(fact.detail.find("is taken by a plain file") != std::string::npos);
  std::string text;
  std::ifstream(rig.device) >> text;
  CHECK(text == "mine");
  unlink(rig.device.c_str());
  CHECK(rig.Start().error == 0);
  CHECK(rig.Stop().error == 0);
}

TEST_CASE("fuse_loop: ext4 lives on it, and demotion says where it is mounted") {
  if (!CanRun()) return;
  FuseRig rig(128 << 20, 512);
  REQUIRE(rig.Start().error == 0);
  std::string store = TempDirectory();
  REQUIRE(Succeeds("mkfs.ext4 -q '" + rig.device + "'"));
  {
    Script mounted("exec unshare -m --propagation private sh -c \"mount '" + rig.device + "' " + store + " && cp -r /etc/. " + store + "/ 2>/dev/null; sync; fstrim " +
                   store + "; echo ready; read x; umount " + store + "\"");
    Recorder::Fact fact = rig.Stop();
    CHECK(fact.error == EBUSY);
    CHECK(fact.detail.find(rig.device + " is mounted on " + store + " (ext4) in the mount namespace of sh (pid ") == 0);
    mounted.End();
  }
  CHECK(rig.target().flushes > 0);
  CHECK(Succeeds("e2fsck -fn '" + rig.device + "'"));
  REQUIRE(rig.Stop().error == 0);
  rmdir(store.c_str());
}

TEST_CASE("fuse_loop: direct I/O of mixed sizes at depth keeps every byte") {
  if (!CanRun()) return;
  // The second time with so little memory that requests must wait for it.
  for (uint32_t arena_pages : {4096u, 600u}) {
    FuseRig rig(64 << 20, 512, arena_pages);
    REQUIRE(rig.Start().error == 0);
    CHECK(Succeeds("fio --name=mixed --verify_state_save=0 --filename='" + rig.device +
                   "' --ioengine=libaio --direct=1 --rw=randrw --bsrange=512-1M --bs_unaligned=0 --blockalign=512 --iodepth=24 --size=64M --verify=crc32c "
                   "--verify_fatal=1 --do_verify=1 --output-format=terse --output=/dev/null"));
    REQUIRE(rig.Stop().error == 0);
    CHECK(rig.target().contract_breaks == 0);
  }
}

TEST_CASE("fuse_loop: long discards and zeroing come in pieces, with one answer") {
  if (!CanRun()) return;
  FuseRig rig(1 << 30, 512);
  std::fill(rig.target().data.begin(), rig.target().data.end(), uint8_t{0xa5});
  REQUIRE(rig.Start().error == 0);
  CHECK(Succeeds("blkdiscard -f -o 1048576 -l 536870912 '" + rig.device + "'"));
  CHECK(rig.target().unmapping_zeroes == 128);
  CHECK(rig.target().keeping_zeroes == 0);
  auto& data = rig.target().data;
  CHECK(data[1048575] == 0xa5);
  CHECK(data[1048576] == 0);
  CHECK(data[1048576 + 536870911] == 0);
  CHECK(data[1048576 + 536870912] == 0xa5);
  CHECK(Succeeds("blkdiscard -f -z -o 805306368 -l 134217728 '" + rig.device + "'"));
  CHECK(rig.target().keeping_zeroes == 32);
  CHECK(data[805306368 + 134217727] == 0);
  // "Zeroes, and you may deallocate": comes exactly like a discard, so a discard has to leave zeroes.
  int fd = open(rig.device.c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(fd >= 0);
  CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000 << 20, 8 << 20) == 0);
  close(fd);
  CHECK(rig.target().unmapping_zeroes == 130);
  CHECK(data[(1000 << 20) + 5] == 0);
  rig.target().fail_with = EIO;
  CHECK_FALSE(Shell("blkdiscard -f '" + rig.device + "'").find("exit 0") != std::string::npos);
  rig.target().fail_with = 0;
  REQUIRE(rig.Stop().error == 0);
  CHECK(rig.target().contract_breaks == 0);
}

TEST_CASE("fuse_loop: somebody who opens the device while it is removed keeps it, working") {
  if (!CanRun()) return;
  FuseRig rig(32 << 20, 512);
  REQUIRE(rig.Start().error == 0);
  int number = rig.LoopNumber();
  rig.Hold();
  // What Stop() does after it has looked for holders: this one came in between.
  CHECK(frontend::DetachLoop(number, frontend::LoopTag("frontend test", 0), rig.device).error == EBUSY);
  rig.LetGo();
  CHECK(rig.Write(0, RandomBytes(4096, 4)) == 0);
  CHECK(rig.frontend().up());
  REQUIRE(rig.Stop().error == 0);
}

TEST_CASE("fuse_loop: the kernel uses direct I/O underneath, and many volumes live side by side") {
  if (!CanRun()) return;
  FuseRig first(32 << 20, 512);
  FuseRig second(32 << 20, 4096);
  REQUIRE(first.Start().error == 0);
  REQUIRE(second.Start().error == 0);
  CHECK(first.LoopNumber() != second.LoopNumber());
  for (FuseRig* rig : {&first, &second}) {
    std::string direct;
    std::ifstream("/sys/block/loop" + std::to_string(rig->LoopNumber()) + "/loop/dio") >> direct;
    CHECK(direct == "1");
  }
  REQUIRE(first.Stop().error == 0);
  CHECK(second.Write(0, RandomBytes(4096, 5)) == 0);
  REQUIRE(second.Stop().error == 0);
}

TEST_CASE("fuse_loop: told to stop while it starts, it comes up and goes") {
  if (!CanRun()) return;
  FuseRig rig(32 << 20, 512);
  rig.Do([&] {
    rig.frontend().Start();
    rig.frontend().Stop();
  });
  CHECK(rig.events().Wait("up").error == 0);
  CHECK(rig.events().Wait("down").error == 0);
  CHECK_FALSE(rig.frontend().up());
}

TEST_CASE("fuse_loop: a frozen volume lets I/O wait, and it completes after") {
  if (!CanRun()) return;
  FuseRig rig(32 << 20, 512);
  REQUIRE(rig.Start().error == 0);
  rig.target().frozen = true;
  uint64_t before = rig.target().submitted;
  std::future<int> write = std::async(std::launch::async, [&] { return rig.Write(4096, RandomBytes(4096, 3)); });
  CHECK(write.wait_for(std::chrono::milliseconds(200)) == std::future_status::timeout);
  CHECK(rig.target().submitted == before);
  rig.target().frozen = false;
  CHECK(write.get() == 0);
  REQUIRE(rig.Stop().error == 0);
}

TEST_CASE("fuse_loop: a device pulled away by somebody else is noticed and cleaned up") {
  if (!CanRun()) return;
  FuseRig rig(32 << 20, 512);
  REQUIRE(rig.Start().error == 0);
  REQUIRE(Succeeds("losetup -d /dev/loop" + std::to_string(rig.LoopNumber())));
  Recorder::Fact fact = rig.events().Wait("down");
  CHECK(fact.error == ENODEV);
  CHECK(fact.detail.find("was detached") != std::string::npos);
  CHECK_FALSE(rig.frontend().up());
  CHECK(rig.LoopNumber() < 0);
  REQUIRE(rig.Start().error == 0);
  CHECK(rig.Write(0, RandomBytes(4096, 3)) == 0);
  REQUIRE(rig.Stop().error == 0);
}

TEST_CASE("names of kept descriptors carry everything, and nonsense is refused") {
  frontend::KeptName name{"r/0:x %", 3, 17, 4096};
  std::string text = frontend::FormatKeptName(name);
  CHECK(text.find(':') == std::string::npos);
  frontend::KeptName back;
  REQUIRE(frontend::ParseKeptName(text, &back));
  CHECK(back.resource == name.resource);
  CHECK(back.volume == 3);
  CHECK(back.loop_number == 17);
  CHECK(back.block_bytes == 4096);
  CHECK(frontend::FormatKeptName({"r0", 0, 7, 512}) == "drbdts/r0/0/fuse/loop7/512");
  for (const char* bad : {"", "stored", "drbdts/r0/0/fuse/loop7", "drbdts/r0/0/fuse/loop7/512/1", "drbdts/r0/70000/fuse/loop7/512", "drbdts/r0/0/fuse/loop-7/512",
                          "drbdts/r0/0/fuse/loop7x/512", "drbdts/r%0/0/fuse/loop7/512", "drbdts/r0/0/fuse/loop/512", "drbdts/r0//fuse/loop7/512"}) {
    CAPTURE(bad);
    CHECK_FALSE(frontend::ParseKeptName(bad, &back));
  }
}

}  // namespace
}  // namespace drbdts::test
