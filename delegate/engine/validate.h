// Checks of untrusted model data: whatever passes is safe to compute with.
#ifndef TF_SIGNBIN_ENGINE_VALIDATE_H_
#define TF_SIGNBIN_ENGINE_VALIDATE_H_

#include "engine/types.h"

namespace tf_signbin {

// Sizes, mask bits, pattern and values (docs/format.md).
Status CheckFilters(DataType type, const PackedFilters& filters);
// Vector lengths, multipliers and clamps; for int8 also that no accumulator can leave 32 bits.
Status CheckOutputStage(DataType type, const PackedFilters& filters, const OutputStage& output);
// A shape that fits the filters, whose elements and coordinates can be counted with an int.
Status CheckShape(const PackedFilters& filters, const ConvShape& shape);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_VALIDATE_H_
