// The weights of a filter from its mask bits (docs/format.md).
#ifndef TF_SIGNBIN_ENGINE_UNPACK_H_
#define TF_SIGNBIN_ENGINE_UNPACK_H_

#include <algorithm>
#include <cstddef>
#include <vector>

#include "engine/types.h"

namespace tf_signbin {

// Writes the weights of one filter in mask order (kernel row, kernel column, channel). `values` are
// those of the layer's type.
template <typename T>
void UnpackFilter(const PackedFilters& f, const std::vector<T>& values, int filter, T* weights) {
  if (f.kind == WeightKind::kDense) {
    std::copy_n(values.begin() + filter * f.weights_per_filter(), f.weights_per_filter(), weights);
    return;
  }
  const int region_channels = f.in_c / f.regions;
  size_t k = 0;
  for (int tap = 0; tap < f.kernel_h * f.kernel_w; ++tap) {
    for (int channel = 0; channel < f.in_c; ++channel, ++k) {
      const size_t region = static_cast<size_t>(filter) * f.regions + channel / region_channels;
      if (f.kind == WeightKind::kTwoValued) {
        weights[k] = values[region * 2 + f.bit(0, filter, k)];
      } else {
        const T s = values[region];
        weights[k] = f.bit(0, filter, k) ? s : f.bit(1, filter, k) ? static_cast<T>(-s) : T{0};
      }
    }
  }
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_UNPACK_H_
