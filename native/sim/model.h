#pragma once
// What a volume may hold: for every sector each content that the acknowledgements so far do not rule out. Knows nothing of the code under
// test: it sees requests, their answers and the losses that the life says are allowed.
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace drbdts::sim {

class Model {
 public:
  explicit Model(uint64_t sectors_max);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  using WriteId = uint64_t;

  /// Logical time: grows with every call.
  uint64_t Now() { return ++clock_; }

  /// A write, or (zero) a discard or write-zeroes, was handed in. Names the content that FillContent() is to make.
  WriteId Begin(uint64_t sector, uint64_t sectors, bool zero, bool fua);
  /// It was answered, or its node died (acknowledged = false: it may have happened or not, and may still happen later).
  void End(WriteId id, bool acknowledged);
  /// A flush that was handed in at `begun` succeeded: what was acknowledged before is safe from a loss of power.
  void Flushed(uint64_t begun);
  /// What was acknowledged but never flushed may be gone from now on.
  void ForgetUnflushed();
  /// The same, but whoever wrote it is still there and may flush: if that succeeds, it has to be there. If it fails, or ForgetDoubtful() is
  /// called because nobody can ask any more, it is forgotten.
  void DoubtUnflushed();
  void ForgetDoubtful();
  struct Range {
    uint64_t sector, sectors;
  };
  /// What became safe from a loss of power with the last Flushed() or End().
  const std::vector<Range>& newly_safe() const { return newly_safe_; }

  /// A read handed in at `begun` returned this for one sector. Empty, or why that cannot be.
  std::string Check(const uint8_t* content, uint64_t sector, uint64_t begun) const;
  /// The same for what is durable: only what was flushed or written with FUA binds.
  std::string CheckDurable(const uint8_t* content, uint64_t sector) const;
  /// As Check, and remembers that this was seen: no later read may return what it replaced (until Forget...).
  std::string Read(const uint8_t* content, uint64_t sector, uint64_t begun);
  /// A read is under way: history since then is kept.
  void ReadBegins(uint64_t begun) { reads_.push_back(begun); }
  void ReadEnds(uint64_t begun);
  /// The node that served is gone: what it showed of writes that nobody acknowledged is not binding for the next one.
  void ForgetSeen();

  /// Sectors ever written, in order of their first write.
  const std::vector<uint32_t>& sectors() const { return written_; }
  uint64_t writes() const { return last_id_; }

 private:
  enum class Fate : uint8_t { kOpen, kPerhaps, kAcknowledged, kDurable };
  struct Value {
    WriteId id = 0;              // 0: the zeroes of the beginning
    uint64_t begun = 0, ended = 0, seen = 0;  // seen: a read that ended then returned it (0: none)
    Fate fate = Fate::kDurable;
    bool zero = true;
  };
  struct Write {
    uint64_t sector, sectors;
    bool fua;
  };
  struct Unsafe {
    WriteId id;
    uint64_t acknowledged, sector, sectors;
    bool doubtful;
  };
  const std::vector<Value>* Find(uint64_t sector) const;
  std::vector<Value>& At(uint64_t sector);
  void Safe(uint64_t sector, WriteId id);
  void Prune(std::vector<Value>& values) const;
  const Value* Match(const std::vector<Value>& values, WriteId id, uint64_t begun, bool& known, Fate binds = Fate::kAcknowledged) const;
  std::string Check(const uint8_t* content, uint64_t sector, uint64_t begun, Fate binds) const;
  std::string Explain(const std::vector<Value>& values, uint64_t sector, WriteId id, bool known) const;

  uint64_t clock_ = 0;
  WriteId last_id_ = 0;
  std::vector<uint32_t>& cell_of_;            // sector -> index + 1 into cells_; pooled
  std::vector<std::vector<Value>> cells_;
  std::vector<uint32_t> written_;
  std::unordered_map<WriteId, Write> open_;
  std::vector<Unsafe> unsafe_;
  std::vector<Range> newly_safe_;
  std::vector<uint64_t> reads_;
};

}  // namespace drbdts::sim
