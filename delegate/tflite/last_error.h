// Why the last call on this thread failed, for callers whom the runtime tells only that it did.
#ifndef TF_SIGNBIN_TFLITE_LAST_ERROR_H_
#define TF_SIGNBIN_TFLITE_LAST_ERROR_H_

namespace tf_signbin {

// Kept until the next failure or TakeError on this thread; a long message is cut off.
void RecordError(const char* message) noexcept;
// The message, then none; empty: nothing failed. Valid until the next failure on this thread.
const char* TakeError() noexcept;

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_LAST_ERROR_H_
