#pragma once
// What every front end must do; run by one test file per front end. `Rig` gives blocking access to the device as an application has it.
#include <doctest/doctest.h>

#include <cerrno>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "support/ram_target.h"

namespace drbdts::test {

class Rig {
 public:
  virtual ~Rig() = default;
  virtual frontend::Frontend& frontend() = 0;
  virtual RamTarget& target() = 0;
  virtual Recorder& events() = 0;
  virtual void Do(std::function<void()> task) = 0;
  // As an application: 0 or an errno.
  virtual int Write(uint64_t offset, const std::vector<uint8_t>& data) = 0;
  virtual int Read(uint64_t offset, std::vector<uint8_t>& data) = 0;
  virtual int Flush() = 0;
  virtual int Discard(uint64_t offset, uint64_t bytes) = 0;
  virtual int Zero(uint64_t offset, uint64_t bytes) = 0;
  virtual uint64_t SizeBytes() = 0;
  virtual void Hold() = 0;
  virtual void LetGo() = 0;

  Recorder::Fact Start() {
    Do([this] { frontend().Start(); });
    return events().Wait("up");
  }
  Recorder::Fact Stop() {
    Do([this] { frontend().Stop(); });
    return events().Wait("down");
  }
};

inline std::vector<uint8_t> RandomBytes(size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<uint8_t> data(bytes);
  for (size_t i = 0; i < bytes; i += 8) {
    uint64_t value = random();
    std::memcpy(data.data() + i, &value, std::min<size_t>(8, bytes - i));
  }
  return data;
}

/// The device is down before and after. Offsets and lengths are multiples of `block_bytes`.
inline void RunFrontendSuite(Rig& rig, uint32_t block_bytes) {
  const uint64_t size = rig.target().data.size();
  REQUIRE_FALSE(rig.frontend().up());
  Recorder::Fact fact = rig.Start();
  INFO(fact.detail);
  REQUIRE(fact.error == 0);
  CHECK(rig.frontend().up());
  CHECK(rig.SizeBytes() == size);

  // What is written is read again, and is in the volume.
  for (uint64_t bytes : {uint64_t{block_bytes}, uint64_t{4096}, uint64_t{65536}, uint64_t{1} << 20}) {
    for (uint64_t offset : {uint64_t{0}, uint64_t{block_bytes} * 3, size - bytes}) {
      std::vector<uint8_t> data = RandomBytes(bytes, bytes + offset);
      CHECK(rig.Write(offset, data) == 0);
      std::vector<uint8_t> back(bytes);
      CHECK(rig.Read(offset, back) == 0);
      CHECK(back == data);
      CHECK(std::memcmp(rig.target().data.data() + offset, data.data(), bytes) == 0);
    }
  }

  // A flush from above arrives.
  uint64_t flushes = rig.target().flushes;
  CHECK(rig.Flush() == 0);
  CHECK(rig.target().flushes > flushes);

  // Zeroing and discarding read back as zeroes and leave the neighbours alone.
  for (bool discard : {false, true}) {
    std::vector<uint8_t> data = RandomBytes(1 << 20, 7);
    CHECK(rig.Write(8 << 20, data) == 0);
    CHECK((discard ? rig.Discard((8 << 20) + 65536, 131072) : rig.Zero((8 << 20) + 65536, 131072)) == 0);
    std::fill(data.begin() + 65536, data.begin() + 65536 + 131072, uint8_t{0});
    std::vector<uint8_t> back(data.size());
    CHECK(rig.Read(8 << 20, back) == 0);
    CHECK(back == data);
  }

  // An error of the volume reaches the application.
  rig.target().fail_with = EIO;
  CHECK(rig.Write(0, RandomBytes(4096, 1)) == EIO);
  std::vector<uint8_t> back(4096);
  CHECK(rig.Read(0, back) == EIO);
  rig.target().fail_with = 0;
  CHECK(rig.Write(0, RandomBytes(4096, 1)) == 0);

  // A new size is seen.
  rig.Do([&] { rig.frontend().Resize(size / 2 / 512); });
  CHECK(rig.events().Wait("resized").error == 0);
  CHECK(rig.SizeBytes() == size / 2);
  rig.Do([&] { rig.frontend().Resize(size / 512); });
  CHECK(rig.events().Wait("resized").error == 0);
  CHECK(rig.SizeBytes() == size);

  // It cannot be taken away from somebody, and goes when he is gone.
  rig.Hold();
  fact = rig.Stop();
  CHECK(fact.error == EBUSY);
  CHECK(fact.detail.find(" is held open by ") != std::string::npos);
  CHECK(rig.frontend().up());
  rig.Do([&] { rig.frontend().CheckHolders(); });
  CHECK(rig.events().Wait("holders").detail == fact.detail);
  CHECK(rig.Write(0, RandomBytes(4096, 2)) == 0);
  rig.LetGo();
  rig.Do([&] { rig.frontend().CheckHolders(); });
  CHECK(rig.events().Wait("holders").detail == "");
  fact = rig.Stop();
  INFO(fact.detail);
  REQUIRE(fact.error == 0);
  CHECK_FALSE(rig.frontend().up());

  // And it can come again.
  REQUIRE(rig.Start().error == 0);
  CHECK(rig.Read(0, back) == 0);
  CHECK(back == RandomBytes(4096, 2));
  REQUIRE(rig.Stop().error == 0);
  CHECK(rig.target().contract_breaks == 0);
}

}  // namespace drbdts::test
