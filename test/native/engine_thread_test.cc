// Data threads with real disks and sockets: two nodes in one process, as their owner sees them.
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "engine/meta_tools.h"
#include "engine/resource_thread.h"

#undef CHECK  // here it is the test framework's, not the one that aborts
#include <doctest/doctest.h>

namespace {

using namespace drbdts;
using namespace std::chrono_literals;

struct TempDisk {
  std::string path;
  explicit TempDisk(uint64_t bytes) {
    char name[] = "/var/tmp/drbdts-engine-XXXXXX";
    const int fd = mkstemp(name);
    REQUIRE(fd >= 0);
    REQUIRE(ftruncate(fd, static_cast<off_t>(bytes)) == 0);
    close(fd);
    path = name;
    const io::Failure failure = engine::CreateMetaData({path, "", {}}, {});
    REQUIRE_MESSAGE(!failure.failed(), failure.detail);
  }
  ~TempDisk() { unlink(path.c_str()); }
};

/// The owner's side: waits for wakes, takes events, answers handlers.
class Owner final : public engine::Waker {
 public:
  Owner(const std::string& disk, int own, uint16_t port) {
    engine::EngineConfig config;
    config.resource.name = "r" + std::to_string(own);
    config.resource.local = {4, "127.0.0." + std::to_string(own), port};
    config.resource.peer = {4, "127.0.0." + std::to_string(3 - own), port};
    config.resource.net.connect_int_s = 1;
    core::VolumeConfig volume;
    volume.disk = disk;
    volume.device = "/dev/drbd" + std::to_string(own);
    volume.memory_frontend = true;
    volume.options.c_plan_ahead = 0;
    volume.options.resync_rate_kib = 1u << 20;
    config.resource.volumes.push_back(volume);
    io::Failure failure;
    thread = engine::ResourceThread::Start(std::move(config), *this, failure);
    REQUIRE_MESSAGE(thread != nullptr, failure.detail);
  }

  void Wake() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      woken_ = true;
    }
    condition_.notify_all();
  }

  int Do(core::AdminCommand::Kind kind, bool force = false) {
    auto command = std::make_unique<engine::Command>();
    command->id = ++last_id_;
    command->admin.kind = kind;
    command->admin.force = force;
    REQUIRE(thread->Post(std::move(command)));
    Until([&] { return answers_.count(last_id_) != 0; });
    return answers_.at(last_id_);
  }

  core::Snapshot Snapshot() {
    core::Snapshot snapshot;
    thread->mailbox().snapshot.Read(snapshot);
    return snapshot;
  }

  template <typename F>
  void Until(F&& condition) {
    const auto end = std::chrono::steady_clock::now() + 60s;
    for (;;) {
      TakeEvents();
      if (condition()) return;
      REQUIRE_MESSAGE(std::chrono::steady_clock::now() < end, log_);
      std::unique_lock<std::mutex> lock(mutex_);
      condition_.wait_for(lock, 200ms, [&] { return woken_; });
      woken_ = false;
    }
  }

  void Stop() {
    thread->RequestStop();
    Until([&] { return stopped_; });
    thread->Join();
  }

  std::unique_ptr<engine::ResourceThread> thread;

 private:
  void TakeEvents() {
    engine::Mailbox& mailbox = thread->mailbox();
    while (const engine::Event* event = mailbox.logs.Front()) {
      log_ += std::string(event->text.data()) + "\n";
      mailbox.logs.Release();
    }
    while (const engine::Event* event = mailbox.results.Front()) {
      if (event->kind == engine::Event::Kind::kCommandDone) answers_[event->id] = event->code;
      if (event->kind == engine::Event::Kind::kStopped) stopped_ = true;
      if (event->kind == engine::Event::Kind::kHandler && event->wait) {
        auto command = std::make_unique<engine::Command>();
        command->kind = engine::Command::Kind::kHandlerDone;
        command->id = event->id;
        thread->Post(std::move(command));
      }
      mailbox.results.Release();
    }
  }

  std::mutex mutex_;
  std::condition_variable condition_;
  bool woken_ = false;
  bool stopped_ = false;
  uint64_t last_id_ = 0;
  std::map<uint64_t, int> answers_;
  std::string log_;
};

uint16_t Port() { return static_cast<uint16_t>(21000 + getpid() % 10000); }

using Kind = core::AdminCommand::Kind;

}  // namespace

TEST_CASE("two data threads connect, sync and end") {
  TempDisk disk_a(16u << 20);
  TempDisk disk_b(16u << 20);
  Owner a(disk_a.path, 1, Port());
  Owner b(disk_b.path, 2, Port());
  for (Owner* node : {&a, &b}) {
    CHECK(node->Do(Kind::kAttach) == 1);
    CHECK(node->Snapshot().volumes[0].state.disk == core::Disk::kInconsistent);
    CHECK(node->Do(Kind::kConnect) > 0);
  }
  a.Until([&] { return a.Snapshot().conn == core::Conn::kConnected; });
  CHECK(a.Do(Kind::kPrimary, true) > 0);
  const auto synced = [](Owner& node) {
    const core::State state = node.Snapshot().volumes[0].state;
    return state.disk == core::Disk::kUpToDate && state.pdsk == core::Disk::kUpToDate && state.conn == core::Conn::kConnected;
  };
  a.Until([&] {
    b.Until([] { return true; });  // b's handlers want answers too
    return synced(a);
  });
  b.Until([&] { return synced(b); });
  CHECK(a.Snapshot().volumes[0].device_up);
  CHECK(a.Do(Kind::kSecondary) > 0);
  CHECK_FALSE(a.Snapshot().volumes[0].device_up);
  CHECK(a.Do(Kind::kDown) > 0);
  a.Stop();
  b.Stop();
}

TEST_CASE("a data thread that ends lets go of its disk at once") {
  TempDisk disk(16u << 20);
  for (int life = 0; life < 3; life++) {
    engine::ApplyAlResult result;
    const io::Failure failure = engine::ApplyActivityLog({disk.path, "", {}}, result);
    CHECK_MESSAGE(!failure.failed(), failure.detail);
    Owner node(disk.path, 1, Port());
    CHECK(node.Do(Kind::kAttach) == 1);
    CHECK(node.Do(Kind::kConnect) > 0);
    node.Stop();
  }
}

TEST_CASE("an address that is none is refused before anything starts") {
  struct Silent final : engine::Waker {
    void Wake() override {}
  } waker;
  engine::EngineConfig config;
  config.resource.name = "r0";
  config.resource.local.host = "node-a";
  config.resource.peer.host = "127.0.0.1";
  config.resource.volumes.emplace_back();
  io::Failure failure;
  CHECK(engine::ResourceThread::Start(std::move(config), waker, failure) == nullptr);
  CHECK(failure.code == core::ErrorCode::kInvalidArgument);
  CHECK(failure.detail.find("node-a") != std::string::npos);
}
