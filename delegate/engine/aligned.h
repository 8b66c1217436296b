// Storage for vector loads.
#ifndef TF_SIGNBIN_ENGINE_ALIGNED_H_
#define TF_SIGNBIN_ENGINE_ALIGNED_H_

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace tf_signbin {

// Zeroed, 64-byte aligned, followed by at least 64 readable bytes.
template <typename T>
class Aligned {
 public:
  Aligned() = default;
  explicit Aligned(size_t count) : bytes_((count * sizeof(T) + 127) / 64 * 64) {
    void* memory = nullptr;  // not aligned_alloc, which Android has only from API 28 on
    if (posix_memalign(&memory, 64, bytes_) != 0) throw std::bad_alloc();
    std::memset(memory, 0, bytes_);
    data_.reset(static_cast<T*>(memory));
  }
  T* get() const { return data_.get(); }
  T& operator[](size_t i) const { return data_.get()[i]; }
  size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  size_t bytes_ = 0;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_ALIGNED_H_
