// Images as rows.
#ifndef TF_SIGNBIN_ENGINE_FLATTEN_H_
#define TF_SIGNBIN_ENGINE_FLATTEN_H_

#include "engine/types.h"

namespace tf_signbin {

// A convolution without spatial extent and stride, whose images become one long row of pixels; any
// other as it is.
inline ConvShape FlattenPointwise(ConvShape s) {
  const bool pointwise = s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
                         s.pad_top == 0 && s.pad_left == 0 && s.in_h == s.out_h &&
                         s.in_w == s.out_w;
  if (!pointwise) return s;
  s.in_w = s.out_w = s.batch * s.in_h * s.in_w;
  s.batch = s.in_h = s.out_h = 1;
  return s;
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_FLATTEN_H_
