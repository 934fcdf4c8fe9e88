// The device outlives its server: killed with requests in flight, taken over by the next one, no error above. Needs root, /dev/fuse, loop devices, fio
// and the built drbdts-keeper (DRBDTS_KEEPER, or native/build/Release/drbdts-keeper below the working directory); says so and passes where one is missing.
#include <doctest/doctest.h>


#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "frontend/device_node.h"
#include "frontend/loop_device.h"
#include "support/fuse_file_server.h"

namespace drbdts::test {
namespace {

constexpr uint64_t kFileBytes = 256 << 20;
constexpr int kKills = 20;

std::string KeeperPath() {
  const char* given = std::getenv("DRBDTS_KEEPER");
  for (std::string path : {std::string(given == nullptr ? "" : given), std::string("native/build/Release/drbdts-keeper"), std::string("build/Release/drbdts-keeper")}) {
    if (!path.empty() && access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

bool CanRun() {
  bool can = geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0 && access("/dev/loop-control", R_OK | W_OK) == 0 && !KeeperPath().empty();
  if (!can) MESSAGE("skipped: needs root, /dev/fuse, /dev/loop-control and drbdts-keeper");
  return can;
}

int RunShell(const std::string& command) {
  int status = system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// Waits for something that has to happen; false after 60 s.
template <typename Condition>
bool Eventually(Condition condition) {
  for (auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60); std::chrono::steady_clock::now() < until;) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

/// drbdts-keeper over this very program, run as the file server.
class Kept {
 public:
  explicit Kept(const std::string& abort_after) : directory_(MakeDirectory()), file(directory_ + "/backing"), device(directory_ + "/drbd0") {
    int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    REQUIRE(ftruncate(fd, kFileBytes) == 0);
    close(fd);
    std::string keeper = KeeperPath();
    char self[4096] = {};
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    keeper_ = fork();
    if (keeper_ == 0) {
      setenv("DRBDTS_TEST_FILE", file.c_str(), 1);
      setenv("DRBDTS_TEST_DEVICE", device.c_str(), 1);
      execl(keeper.c_str(), "drbdts-keeper", "--abort-after", abort_after.c_str(), "--", self, "--no-skip", "--minimal",
            "--test-case=file server under the keeper", nullptr);
      _exit(127);
    }
    REQUIRE(Eventually([this] { return loop_number() >= 0; }));
  }
  ~Kept() {
    if (keeper_ > 0) {
      kill(keeper_, SIGTERM);
      Wait();
    }
    RunShell("rm -rf '" + directory_ + "'");
  }
  /// The server's process, once there is one.
  pid_t Server() const {
    pid_t pid = -1;
    std::ifstream("/proc/" + std::to_string(keeper_) + "/task/" + std::to_string(keeper_) + "/children") >> pid;
    return pid;
  }
  void KillServer(int signal_number) const {
    pid_t before = Server();
    if (before > 0) kill(before, signal_number);
  }
  /// Waits until the keeper has left; its exit code.
  int Wait() {
    int status = 0;
    waitpid(keeper_, &status, 0);
    keeper_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  int loop_number() const { return frontend::LoopNumberOfNode(device); }
  pid_t keeper() const { return keeper_; }

 private:
  static std::string MakeDirectory() {
    const char* base = std::getenv("TMPDIR");
    std::string path = std::string(base == nullptr ? "/var/tmp" : base) + "/drbdts-restart-XXXXXX";
    REQUIRE(mkdtemp(path.data()) != nullptr);
    return path;
  }
  const std::string directory_;
  pid_t keeper_ = -1;

 public:
  const std::string file;
  const std::string device;
};

/// Kills the server again and again until `kKills` lives have ended, while `load` runs.
template <typename Load>
int KillDuring(Kept& kept, Load load) {
  std::atomic<int> kills{0};
  std::atomic<bool> stop{false};
  std::thread killer([&] {
    pid_t last = -1;
    while (!stop && kills < kKills) {
      pid_t server = kept.Server();
      // A life lasts 150 to 450 ms: some die while starting, most with requests in flight.
      std::this_thread::sleep_for(std::chrono::milliseconds(150 + kills * 97 % 300));
      if (server <= 0 || server == last || server != kept.Server()) continue;
      last = server;
      if (kills % 5 == 4) {
        kill(kept.keeper(), SIGHUP);  // an upgrade: told to go, same hand-over
      } else {
        kill(server, SIGKILL);
      }
      ++kills;
    }
  });
  while (kills < kKills && !stop) stop = !load();
  stop = true;
  killer.join();
  return kills;
}

void EndCleanly(Kept& kept) {
  int number = kept.loop_number();
  REQUIRE(Eventually([&] { return kept.Server() > 0; }));
  // The server may still be taking over, and then refuses: ask until it is gone.
  pid_t keeper = kept.keeper();
  REQUIRE(Eventually([&] {
    kept.KillServer(SIGUSR1);
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(keeper), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == keeper;
  }));
  CHECK_EQ(kept.Wait(), 0);
  CHECK_FALSE(std::ifstream("/sys/block/loop" + std::to_string(number) + "/loop/backing_file").good());
  CHECK_EQ(kept.loop_number(), -1);
}

TEST_CASE("file server under the keeper" * doctest::skip()) {
  const char* file = std::getenv("DRBDTS_TEST_FILE");
  const char* device = std::getenv("DRBDTS_TEST_DEVICE");
  if (file != nullptr && device != nullptr) _exit(RunFuseFileServer(file, device));
}

TEST_CASE("restart: fio with verification sees no error while its server is killed again and again") {
  if (!CanRun()) return;
  Kept kept("60");
  int runs = 0;
  int kills = KillDuring(kept, [&] {
    ++runs;
    return RunShell("fio --name=restart --filename='" + kept.device +
                    "' --ioengine=libaio --direct=1 --rw=randwrite --bs=4k --iodepth=32 --size=256M --io_size=64M --verify=crc32c --verify_fatal=1 --verify_state_save=0 --do_verify=1 "
                    "--randseed=" + std::to_string(runs) + " --output-format=terse --output=/dev/null") == 0;
  });
  CHECK_EQ(kills, kKills);
  MESSAGE(kills << " lives ended under " << runs << " fio runs");
  EndCleanly(kept);
}

TEST_CASE("restart: large requests, and ext4 with fsync, see no error") {
  if (!CanRun()) return;
  Kept kept("60");
  REQUIRE(RunShell("mkfs.ext4 -q '" + kept.device + "'") == 0);
  std::string load = "unshare -m --propagation private sh -c \"mount '" + kept.device + "' /mnt && fio --name=files --directory=/mnt --size=32M --rw=randwrite --bsrange=4k-1M "
                     "--fsync=8 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --do_verify=1 --output-format=terse --output=/dev/null && umount /mnt\" && e2fsck -fn '" + kept.device +
                     "' > /dev/null 2>&1";
  CHECK_EQ(KillDuring(kept, [&] { return RunShell(load) == 0; }), kKills);
  EndCleanly(kept);
}

TEST_CASE("keeper: a stopped server is waited for") {
  if (!CanRun()) return;
  Kept kept("60");
  pid_t server = kept.Server();
  kill(server, SIGSTOP);
  std::atomic<int> result{-2};
  std::thread write([&] { result = RunShell("dd if=/dev/zero of='" + kept.device + "' bs=4k count=1 oflag=direct conv=notrunc status=none"); });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK_EQ(result, -2);
  kill(server, SIGCONT);
  write.join();
  CHECK_EQ(result, 0);
  CHECK_EQ(kept.Server(), server);
  EndCleanly(kept);
}

TEST_CASE("keeper: gives up when no server comes back, instead of hanging the host") {
  if (!CanRun()) return;
  Kept kept("0.5");
  int number = kept.loop_number();
  // Without its file no new server gets ready.
  REQUIRE(rename(kept.file.c_str(), (kept.file + ".away").c_str()) == 0);
  kept.KillServer(SIGKILL);
  CHECK_EQ(RunShell("dd if='" + kept.device + "' of=/dev/null bs=4k count=1 iflag=direct status=none 2> /dev/null"), 1);
  // With the file back the next server starts afresh, clearing the dead device away.
  REQUIRE(rename((kept.file + ".away").c_str(), kept.file.c_str()) == 0);
  REQUIRE(Eventually([&] { return RunShell("dd if='" + kept.device + "' of=/dev/null bs=4k count=1 iflag=direct status=none 2> /dev/null") == 0; }));
  EndCleanly(kept);
  CHECK(Eventually([&] { return !std::ifstream("/sys/block/loop" + std::to_string(number) + "/loop/backing_file").good(); }));
}

TEST_CASE("keeper: leaves when told, with its child") {
  if (!CanRun()) return;
  pid_t server;
  int number;
  {
    Kept kept("60");
    server = kept.Server();
    number = kept.loop_number();
    kill(kept.keeper(), SIGTERM);
    CHECK_EQ(kept.Wait(), 0);
    CHECK_EQ(kill(server, 0), -1);
    // Nobody removed the device: what is left of it fails, and goes away like any loop device.
    CHECK_EQ(RunShell("dd if='" + kept.device + "' of=/dev/null bs=4k count=1 iflag=direct status=none 2> /dev/null"), 1);
    CHECK_EQ(RunShell("losetup -d /dev/loop" + std::to_string(number)), 0);
  }
}

}  // namespace
}  // namespace drbdts::test
