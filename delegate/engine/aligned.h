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
    data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes_)));
    if (!data_) throw std::bad_alloc();
    std::memset(static_cast<void*>(data_.get()), 0, bytes_);
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
