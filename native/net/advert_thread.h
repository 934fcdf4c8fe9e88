#pragma once
// The thread itself, without JavaScript.
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include <cstdint>
#include <vector>

namespace drbdts::net {

/// One packet for one receiver.
struct AdvertPacket {
  sockaddr_storage to{};
  socklen_t to_size = 0;
  std::vector<uint8_t> bytes;
};

/// Why a schedule came to its end without being told to.
enum class AdvertEnd { kNone, kLease, kPause };

/// What one instance sends. All fields are guarded by the thread's mutex, except `fd`, which is fixed.
struct AdvertSchedule {
  int fd = -1;
  bool running = false;
  AdvertEnd ended = AdvertEnd::kNone;
  std::vector<AdvertPacket> packets;
  int64_t interval_ns = 0;
  /// a longer gap between two own packets ends the schedule
  int64_t lapse_ns = 0;
  int64_t next_monotonic_ns = 0;
  int64_t last_boot_ns = 0;
  int64_t lease_boot_ns = 0;
  uint64_t sent = 0;
  uint64_t failed = 0;
  int last_errno = 0;
  int64_t worst_late_ns = 0;
  /// longest gap between two packets of the schedule since it was asked for
  int64_t longest_gap_ns = 0;
};

/// One per process. Its mutex hands priority on, so that a slow holder is hurried up rather than waited for.
class AdvertThread {
 public:
  static AdvertThread& Get();

  void Lock() { pthread_mutex_lock(&mutex_); }
  void Unlock() { pthread_mutex_unlock(&mutex_); }

  /// With the lock held: to be called after every change of a schedule.
  void Wake() { pthread_cond_signal(&changed_); }
  /// Takes part from now on. 0 or the errno of a thread that could not be started.
  int Add(AdvertSchedule* schedule);
  /// Nothing of it is sent, or touched, afterwards.
  void Remove(AdvertSchedule* schedule);
  /// SCHED_RR (1..99). 0 or an errno.
  int SetPriority(int priority);
  /// With the lock held: sends now, from the calling thread.
  static void Send(AdvertSchedule& schedule, const std::vector<AdvertPacket>& packets);

 private:
  AdvertThread();
  static void* Run(void* self);
  void Loop();
  /// Sends what is due; returns the monotonic time to wake at, -1 for never.
  int64_t Turn();
  int ApplyPriority();

  pthread_mutex_t mutex_;
  pthread_cond_t changed_;
  pthread_t thread_{};
  bool started_ = false;
  bool ending_ = false;
  int priority_ = 0;
  std::vector<AdvertSchedule*> schedules_;
};

}  // namespace drbdts::net
