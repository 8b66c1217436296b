// Which columns of a copied row are input pixels. For portable code: dense_ops.h is read by files
// that are compiled for AVX-512, too.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_ROWS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_ROWS_H_

#include <algorithm>

#include "engine/ceil_div.h"
#include "engine/kernels/dense/dense_ops.h"
#include "engine/types.h"

namespace tf_signbin {

// A row of `columns` pixels of `padded_c` bytes, of input columns first_x, first_x + step, ...
// Which row it is, and where it goes, is left open.
inline DenseRow MakeDenseRow(const ConvShape& shape, int first_x, int step, int columns,
                             int padded_c, int32_t zero_point) {
  const auto columns_before = [&](int x) {
    return std::min(x > first_x ? CeilDiv(x - first_x, step) : 0, columns);
  };
  DenseRow row{};
  row.in_c = shape.in_c;
  row.padded_c = padded_c;
  row.columns = columns;
  row.step = step;
  row.inside = columns_before(0);
  row.right = columns_before(shape.in_w);
  row.inside_x = first_x + row.inside * step;
  row.padding = static_cast<int8_t>(zero_point);
  return row;
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_ROWS_H_
