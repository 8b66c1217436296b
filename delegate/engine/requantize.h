// Operators that map each int8 activation to another one, alike in all channels: what a residual
// stream goes through before a layer that wants fewer bits.
#ifndef TF_SIGNBIN_ENGINE_REQUANTIZE_H_
#define TF_SIGNBIN_ENGINE_REQUANTIZE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "engine/kernels/output/requantize_ops.h"
#include "engine/plan_options.h"
#include "engine/thread_pool.h"

namespace tf_signbin {

// The output of each activation x, at x + 128.
using ByteMap = std::array<int8_t, 256>;

// Arithmetic of 16 bits that gives all of `map`, or nothing. `scale`: about what an output grows by
// with its input, the quotient of their scales.
std::optional<output::RequantizeParams> FindRequantization(const ByteMap& map, double scale);

class Requantization {
 public:
  // Runs on the best of the instruction sets that the options allow.
  Requantization(const output::RequantizeParams& params, const PlanOptions& options);

  // Whether there is vector code; else a runtime's own operator is faster.
  bool vectorized() const;
  // Maps `count` activations.
  void Run(const int8_t* in, size_t count, int8_t* out, ThreadPool& pool) const;

 private:
  output::RequantizeParams params_;
  output::RequantizeFn run_;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_REQUANTIZE_H_
