#pragma once
// Fixed memory of plain values: taken once, and every page of it touched then, so that nothing faults later when memory is short. The values are
// undefined until they are written; a resource has a megabyte of them, and most of it is never used.
#include <cstddef>
#include <memory>
#include <type_traits>
#include <vector>

namespace drbdts::core {

/// Touches every page of `bytes` bytes of memory that hold nothing yet.
inline void TouchPages(void* memory, size_t bytes) {
  constexpr size_t kPageBytes = 4096;
  auto* byte = static_cast<volatile unsigned char*>(memory);
  for (size_t i = 0; i < bytes; i += kPageBytes) byte[i] = 0;
  if (bytes != 0) byte[bytes - 1] = 0;
}

/// Room for `count` elements in an empty vector, every page of it touched.
template <typename T>
void ReserveTouched(std::vector<T>& empty, size_t count) {
  empty.reserve(count);
  TouchPages(static_cast<void*>(empty.data()), count * sizeof(T));
}

template <typename T>
class TouchedMemory {
  static_assert(std::is_trivially_default_constructible_v<T> && std::is_trivially_destructible_v<T>);

 public:
  TouchedMemory() = default;
  explicit TouchedMemory(size_t count) : value_(std::make_unique_for_overwrite<T[]>(count)), count_(count) { TouchPages(value_.get(), count * sizeof(T)); }
  T* data() { return value_.get(); }
  const T* data() const { return value_.get(); }
  size_t size() const { return count_; }
  T& operator[](size_t i) { return value_[i]; }
  const T& operator[](size_t i) const { return value_[i]; }

 private:
  std::unique_ptr<T[]> value_;
  size_t count_ = 0;
};

}  // namespace drbdts::core
