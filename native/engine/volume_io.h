#pragma once
// The engine's side of one volume: its disk, its front end, and the two interfaces a front end sees.
#include <functional>
#include <memory>
#include <string>

#include "core/resource.h"
#include "engine/clock.h"
#include "engine/resource_thread.h"

namespace drbdts::engine {

struct ResourceThread::VolumeIo final : frontend::BlockTarget, frontend::FrontendEvents {
  VolumeIo(uint16_t index_in, core::Resource& resource_in, core::PageArena& arena_in)
      : index(index_in), resource(resource_in), device_arena(arena_in) {}

  // BlockTarget
  bool CanAccept() const override { return resource.CanAccept(index); }
  void Submit(const core::BlockIo& io) override {
    taken_bytes += io.bytes;
    resource.OnRequest(index, io, Now());
  }
  core::PageArena& arena() override { return device_arena; }
  // FrontendEvents
  void OnUp(int error, const std::string& detail) override {
    dispose = error != 0;
    resource.OnDeviceUp(index, error, detail, Now());
  }
  void OnDown(int error, const std::string& detail) override {
    dispose = error == 0;
    resource.OnDeviceDown(index, error, detail, Now());
  }
  void OnHolders(const std::string& sentence) override { resource.OnDeviceOpen(index, sentence, Now()); }

  const uint16_t index;
  core::Resource& resource;
  core::PageArena& device_arena;

  io::DiskSpec spec;
  std::unique_ptr<io::Disk> disk;
  bool close_due = false;           // when its last I/O is done
  uint32_t block_bytes = 512;       // of the disk when it was last open

  std::unique_ptr<frontend::Frontend> device;
  bool dispose = false;             // not from inside its own call
  bool readable = false;            // requests may be waiting
  uint64_t taken_bytes = 0;         // of requests, in this turn
  int request_fd = -1;              // as polled
  int notice_fd = -1;
  uint32_t generation = 0;          // of the polls
};

}  // namespace drbdts::engine
