#pragma once
// The worker's half of fuse_loop: makes the device, takes it over, removes it. Every step may wait for the FUSE server, and each is undone when a later
// one fails. Talks to the other half, FuseLoop on the resource's thread, by commands and notices only.
#include <vector>

#include "frontend/frontend.h"
#include "frontend/worker.h"

namespace drbdts::frontend {

/// Commands. `fd` is a descriptor of /dev/fuse of the worker's own, closed by it.
enum AttachCommand : int {
  kMakeFresh,    // fd, sectors: store fd, mount, attach a free loop device, make node and links
  kTakeOver,     // sectors: the same from a kept descriptor of this volume
  kRemove,       // detach and remove all names, unless somebody holds the device
  kScanHolders,  //
  kResizeLoop,   // fd, sectors
  kCleanLost,    // the connection ended under us: remove what is left
};

enum AttachNotice : int {
  kServe,        // from now on requests may come; value = descriptor to serve (the receiver's from now on), -1 = the one it has
  kStarted,      // the device is there
  kStartFailed,  // and nothing is left of it
  kStopped,
  kStopRefused,  // nothing was changed
  kHolders,      // detail = the sentence
  kResized,
  kCleaned,
};

/// Each thread has its own descriptor: a number closed by the other one might already mean another file. -1 and errno on failure.
int DuplicateFd(int fd);

/// The handler for one volume's worker. `kept_fds` gets the numbers of the kept descriptors that are this volume's: they are the worker's with the
/// command kTakeOver, and the caller's to close if that is never given.
Worker::Handler MakeAttachment(const FrontendConfig& config, std::vector<int>* kept_fds);

}  // namespace drbdts::frontend
