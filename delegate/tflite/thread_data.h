// Data of the calling thread. thread_local needs a TLS segment, which Android loads only from API
// 29 on.
#ifndef TF_SIGNBIN_TFLITE_THREAD_DATA_H_
#define TF_SIGNBIN_TFLITE_THREAD_DATA_H_

#include <pthread.h>

#include <cstdlib>
#include <type_traits>

namespace tf_signbin {

// The calling thread's T, zeroed at first and freed when the thread ends; null when memory runs
// out.
template <typename T>
T* ThreadData() {
  static_assert(std::is_trivial<T>::value, "neither constructed nor destroyed");
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  static pthread_key_t key;
  static bool made = false;
  pthread_once(&once, [] { made = pthread_key_create(&key, std::free) == 0; });
  if (!made) return nullptr;
  void* data = pthread_getspecific(key);
  if (data == nullptr) {
    data = std::calloc(1, sizeof(T));
    if (data != nullptr && pthread_setspecific(key, data) != 0) {
      std::free(data);
      data = nullptr;
    }
  }
  return static_cast<T*>(data);
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_THREAD_DATA_H_
