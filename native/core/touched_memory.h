#pragma once
// Fixed memory of plain values: taken once, and every page of it touched then, so that nothing faults later when memory is short. The values are
// undefined until they are written; a resource has a megabyte of them, and most of it is never used.
#include <cstddef>
#include <memory>
#include <type_traits>

namespace drbdts::core {

template <typename T>
class TouchedMemory {
  static_assert(std::is_trivially_default_constructible_v<T> && std::is_trivially_destructible_v<T>);

 public:
  TouchedMemory() = default;
  explicit TouchedMemory(size_t count) : value_(std::make_unique_for_overwrite<T[]>(count)), count_(count) {
    auto* bytes = reinterpret_cast<volatile unsigned char*>(value_.get());
    constexpr size_t kPageBytes = 4096;
    for (size_t i = 0; i < count * sizeof(T); i += kPageBytes) bytes[i] = 0;
    if (count != 0) bytes[count * sizeof(T) - 1] = 0;
  }
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
