#include "net/advert_thread.h"

#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>

#include "net/clocks.h"

namespace drbdts::net {

AdvertThread& AdvertThread::Get() {
  static auto* only = new AdvertThread;  // lives as long as the process: a thread may still be in it at the end
  return *only;
}

AdvertThread::AdvertThread() {
  pthread_mutexattr_t mutex{};
  pthread_mutexattr_init(&mutex);
  pthread_mutexattr_setprotocol(&mutex, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&mutex_, &mutex);
  pthread_mutexattr_destroy(&mutex);
  pthread_condattr_t condition{};
  pthread_condattr_init(&condition);
  pthread_condattr_setclock(&condition, CLOCK_MONOTONIC);
  pthread_cond_init(&changed_, &condition);
  pthread_condattr_destroy(&condition);
}

int AdvertThread::Add(AdvertSchedule* schedule) {
  Lock();
  int failed = 0;
  if (!started_) {
    // signals are for the thread that runs JavaScript
    sigset_t all{};
    sigset_t before{};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ending_ = false;
    failed = pthread_create(&thread_, nullptr, Run, this);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    started_ = failed == 0;
    if (started_) {
      pthread_setname_np(thread_, "adverts");
      if (priority_ > 0) ApplyPriority();
    }
  }
  if (failed == 0) schedules_.push_back(schedule);
  Unlock();
  return failed;
}

void AdvertThread::Remove(AdvertSchedule* schedule) {
  Lock();
  schedules_.erase(std::remove(schedules_.begin(), schedules_.end(), schedule), schedules_.end());
  const bool last = started_ && schedules_.empty();
  if (last) {
    ending_ = true;
    started_ = false;
    Wake();
  }
  Unlock();
  if (last) pthread_join(thread_, nullptr);
}

int AdvertThread::SetPriority(int priority) {
  Lock();
  priority_ = priority;
  const int failed = started_ ? ApplyPriority() : 0;
  Unlock();
  return failed;
}

int AdvertThread::ApplyPriority() {
  sched_param param{};
  param.sched_priority = priority_;
  return pthread_setschedparam(thread_, SCHED_RR, &param);
}

void AdvertThread::Send(AdvertSchedule& schedule, const std::vector<AdvertPacket>& packets) {
  for (const AdvertPacket& packet : packets) {
    if (sendto(schedule.fd, packet.bytes.data(), packet.bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&packet.to), packet.to_size) >= 0) {
      schedule.sent++;
      continue;
    }
    schedule.failed++;
    schedule.last_errno = errno;
  }
  schedule.last_boot_ns = BootNow();
}

void* AdvertThread::Run(void* self) {
  static_cast<AdvertThread*>(self)->Loop();
  return nullptr;
}

void AdvertThread::Loop() {
  Lock();
  while (!ending_) {
    const int64_t wake = Turn();
    if (wake < 0) {
      pthread_cond_wait(&changed_, &mutex_);
      continue;
    }
    timespec at{};
    at.tv_sec = wake / 1'000'000'000;
    at.tv_nsec = wake % 1'000'000'000;
    pthread_cond_timedwait(&changed_, &mutex_, &at);
  }
  Unlock();
}

int64_t AdvertThread::Turn() {
  int64_t wake = -1;
  for (AdvertSchedule* schedule : schedules_) {
    if (!schedule->running) continue;
    const int64_t now = MonotonicNow();
    if (now >= schedule->next_monotonic_ns) {
      // a process that was stopped, or a machine that slept, may go on in here: these two looks are as near to the packet as can be
      const int64_t boot = BootNow();
      const int64_t gap = boot - schedule->last_boot_ns;
      const AdvertEnd end = boot >= schedule->lease_boot_ns ? AdvertEnd::kLease : gap > schedule->lapse_ns ? AdvertEnd::kPause : AdvertEnd::kNone;
      if (end != AdvertEnd::kNone) {
        schedule->running = false;
        schedule->ended = end;
        continue;
      }
      schedule->longest_gap_ns = std::max(schedule->longest_gap_ns, gap);
      Send(*schedule, schedule->packets);
      schedule->worst_late_ns = std::max(schedule->worst_late_ns, now - schedule->next_monotonic_ns);
      schedule->next_monotonic_ns += schedule->interval_ns;
      // what was missed is not made up for
      if (schedule->next_monotonic_ns <= now) schedule->next_monotonic_ns = now + schedule->interval_ns;
    }
    if (wake < 0 || schedule->next_monotonic_ns < wake) wake = schedule->next_monotonic_ns;
  }
  return wake;
}

}  // namespace drbdts::net
