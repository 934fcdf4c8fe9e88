// The connect loop of drbd-protocol §1.1: connect once, look whether both sockets live, accept for a while, begin again.
//
// Two nodes that do the same at the same time undo each other's work. What ends that: the random length of the accept wait and a coin
// toss after each crossing. So the order of steps and their times are kept as the kernel has them, even where we could be quicker.
#include "core/connector.h"

#include <algorithm>
#include <iterator>

#include "core/assert.h"

namespace drbdts::core {

namespace {

constexpr TimeUs kSecondUs = 1000000;
constexpr TimeUs kTenthUs = 100000;
constexpr uint32_t kFirstPacketPings = 4;

}  // namespace

void Connector::Outputs::Add(const Output& o) {
  CHECK(count < std::size(item));
  item[count++] = o;
}

TimeUs Connector::PingTimeoutUs(uint32_t factor) const { return factor * std::max<TimeUs>(options_.ping_timeout_ds, 1) * kTenthUs; }

void Connector::CloseAll(Outputs& out) {
  for (uint32_t i = 0; i < waiting_count_; ++i) out.Add({Output::Kind::kClose, waiting_[i].link});
  waiting_count_ = 0;
}

void Connector::Start(TimeUs now, Random& /*random*/, Outputs& out) {
  Stop(out);
  resolve_conflicts_ = false;
  out.Add({Output::Kind::kListen});
  BeginConnect(now, out);
}

void Connector::Stop(Outputs& out) {
  if (phase_ == Phase::kIdle) return;
  CloseAll(out);
  if (data_ != kNoLink) out.Add({Output::Kind::kClose, data_});
  if (meta_ != kNoLink) out.Add({Output::Kind::kClose, meta_});
  data_ = meta_ = kNoLink;
  out.Add({Output::Kind::kStopListen});
  phase_ = Phase::kIdle;
  until_ = kNever;
}

void Connector::BeginConnect(TimeUs now, Outputs& out) {
  phase_ = Phase::kConnecting;
  // The engine ends the attempt after connect-int; the second more is for an engine that forgot.
  until_ = now + (TimeUs{options_.connect_int_s} + 1) * kSecondUs;
  out.Add({Output::Kind::kConnect});
}

void Connector::BeginAccept(TimeUs now, Random& random, Outputs& out) {
  phase_ = Phase::kAccept;
  const TimeUs wait = std::max<TimeUs>(options_.connect_int_s, 1) * kSecondUs;
  until_ = random.Below(2) == 0 ? now + wait + wait / 7 : now + wait - wait / 7;
  ServeWaiting(now, random, out);
}

void Connector::BeginCheck(bool after_accept, TimeUs now) {
  phase_ = Phase::kCheck;
  check_after_accept_ = after_accept;
  until_ = now + (options_.socket_check_timeout_ds != 0 ? options_.socket_check_timeout_ds * kTenthUs : PingTimeoutUs(1));
}

/// Both nodes made a meta link at once, and each would close the other's. Who made the data link takes the peer's.
void Connector::TakeCrossedMeta(Outputs& out) {
  if (!made_data_ || resolve_conflicts_) return;
  for (uint32_t i = 0; i < waiting_count_; ++i) {
    if (!waiting_[i].has_first || waiting_[i].first != First::kInitialMeta) continue;
    const Waiting taken = RemoveWaiting(i);
    out.Add({Output::Kind::kClose, meta_});
    meta_ = taken.link;
    resolve_conflicts_ = true;
    return;
  }
}

void Connector::EndCheck(TimeUs now, Random& random, Outputs& out) {
  if (data_ != kNoLink && meta_ != kNoLink) {
    TakeCrossedMeta(out);
    CloseAll(out);
    out.Add({Output::Kind::kStopListen});
    out.Add({Output::Kind::kEstablished, data_, meta_, resolve_conflicts_});
    data_ = meta_ = kNoLink;
    phase_ = Phase::kIdle;
    until_ = kNever;
  } else if (check_after_accept_) {
    BeginConnect(now, out);
  } else {
    BeginAccept(now, random, out);
  }
}

// End of one round.
void Connector::Loop(TimeUs now, Outputs& out) {
  if (data_ != kNoLink && meta_ != kNoLink) {
    BeginCheck(true, now);
  } else {
    BeginConnect(now, out);
  }
}

Connector::Waiting Connector::RemoveWaiting(uint32_t index) {
  const Waiting removed = waiting_[index];
  std::copy(waiting_ + index + 1, waiting_ + waiting_count_, waiting_ + index);
  --waiting_count_;
  return removed;
}

/// True if the link crossed with an older one, which is closed: the younger wins.
bool Connector::Adopt(LinkId& slot, LinkId link, Outputs& out) {
  const bool crossed = slot != kNoLink;
  if (crossed) out.Add({Output::Kind::kClose, slot});
  slot = link;
  return crossed;
}

// Without this two nodes could go on undoing each other's connections in step.
void Connector::Toss(TimeUs now, Random& random, Outputs& out) {
  if (random.Below(2) == 0) {
    BeginAccept(now, random, out);
  } else {
    Loop(now, out);
  }
}

void Connector::ServeWaiting(TimeUs now, Random& random, Outputs& out) {
  const auto has_first = [](const Waiting& waiting) { return waiting.has_first; };
  const Waiting* const end = waiting_ + waiting_count_;
  const Waiting* const oldest = std::find_if(static_cast<const Waiting*>(waiting_), end, has_first);
  if (phase_ != Phase::kAccept || oldest == end) return;
  const Waiting next = RemoveWaiting(static_cast<uint32_t>(oldest - waiting_));
  bool toss = true;
  switch (next.first) {
    case First::kInitialData:
      toss = Adopt(data_, next.link, out);
      made_data_ = false;
      break;
    case First::kInitialMeta:
      resolve_conflicts_ = true;
      toss = Adopt(meta_, next.link, out);
      break;
    case First::kOther:
      out.Add({Output::Kind::kClose, next.link});
      break;
  }
  if (toss) {
    Toss(now, random, out);
  } else {
    Loop(now, out);
  }
}

void Connector::OnConnected(LinkId link, TimeUs now, Random& random, Outputs& out) {
  if (phase_ != Phase::kConnecting || (data_ != kNoLink && meta_ != kNoLink)) {
    out.Add({Output::Kind::kClose, link});
    return;
  }
  if (data_ == kNoLink) {
    data_ = link;
    made_data_ = true;
    out.Add({Output::Kind::kSendInitialData, link});
  } else {
    meta_ = link;
    resolve_conflicts_ = false;
    out.Add({Output::Kind::kSendInitialMeta, link});
  }
  if (data_ != kNoLink && meta_ != kNoLink) {
    BeginCheck(false, now);
  } else {
    BeginAccept(now, random, out);
  }
}

void Connector::OnConnectFailed(TimeUs now, Random& random, Outputs& out) {
  if (phase_ == Phase::kConnecting) BeginAccept(now, random, out);
}

void Connector::OnAccepted(LinkId link, TimeUs now, Random& /*random*/, Outputs& out) {
  if (phase_ == Phase::kIdle || waiting_count_ == kMaxWaiting) {
    out.Add({Output::Kind::kClose, link});
    return;
  }
  waiting_[waiting_count_++] = {link, now + PingTimeoutUs(kFirstPacketPings), false, First::kOther};
}

void Connector::OnFirstPacket(LinkId link, First first, TimeUs now, Random& random, Outputs& out) {
  for (uint32_t i = 0; i < waiting_count_; ++i) {
    if (waiting_[i].link != link || waiting_[i].has_first) continue;
    waiting_[i].has_first = true;
    waiting_[i].first = first;
    waiting_[i].until = kNever;
    ServeWaiting(now, random, out);
    return;
  }
}

void Connector::OnClosed(LinkId link, TimeUs now, Random& random, Outputs& out) {
  if (link == kNoLink) return;
  // A running phase keeps its time: the kernel, too, notices only when it next looks.
  if (link == data_) data_ = kNoLink;
  if (link == meta_) meta_ = kNoLink;
  for (uint32_t i = 0; i < waiting_count_; ++i) {
    if (waiting_[i].link != link) continue;
    RemoveWaiting(i);
    if (phase_ == Phase::kAccept) Toss(now, random, out);
    return;
  }
}

void Connector::OnTick(TimeUs now, Random& random, Outputs& out) {
  if (phase_ == Phase::kIdle) return;
  bool late_first_packet = false;
  for (uint32_t i = 0; i < waiting_count_;) {
    if (waiting_[i].until > now) {
      ++i;
      continue;
    }
    out.Add({Output::Kind::kClose, RemoveWaiting(i).link, kNoLink, false, true});
    late_first_packet = true;
  }
  if (late_first_packet && phase_ == Phase::kAccept) {
    Toss(now, random, out);
    return;
  }
  if (until_ > now) return;
  switch (phase_) {
    case Phase::kIdle: break;
    case Phase::kConnecting: BeginAccept(now, random, out); break;
    case Phase::kCheck: EndCheck(now, random, out); break;
    case Phase::kAccept:
      if (waiting_count_ == 0) {
        Loop(now, out);
      } else {
        // Somebody is at the door and has not spoken yet; that takes 4 x ping-timeout at most.
        until_ = kNever;
        for (uint32_t i = 0; i < waiting_count_; ++i) until_ = std::min(until_, waiting_[i].until);
      }
      break;
  }
}

TimeUs Connector::deadline() const {
  if (phase_ == Phase::kIdle) return kNever;
  TimeUs earliest = until_;
  for (uint32_t i = 0; i < waiting_count_; ++i) earliest = std::min(earliest, waiting_[i].until);
  return earliest;
}

}  // namespace drbdts::core
