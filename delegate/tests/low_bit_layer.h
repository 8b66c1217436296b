// A layer with inputs of few bits, and the options that give it tables of bytes.
#ifndef TF_SIGNBIN_TESTS_LOW_BIT_LAYER_H_
#define TF_SIGNBIN_TESTS_LOW_BIT_LAYER_H_

#include <cstddef>
#include <cstdint>

#include "engine/plan_options.h"
#include "engine/target.h"
#include "tests/random_layer.h"

namespace tf_signbin {

// A layer that memory tables of bytes exist for.
inline RandomLayer LowBitLayer(int bits) {
  Rng rng(1);
  RandomLayer layer = MakeRandomLayer(DataType::kInt8, 1);
  PackedFilters& filters = layer.filters;
  filters = {};
  filters.out_c = 32;
  filters.in_c = 37;
  filters.kernel_h = filters.kernel_w = 3;
  filters.masks.resize(filters.out_c * filters.mask_row_bytes());
  for (uint8_t& byte : filters.masks) {
    byte = static_cast<uint8_t>(rng.Int(0, 255) & rng.Int(0, 255));
  }
  // The last byte of a row is partly used.
  const size_t row = filters.mask_row_bytes();
  const size_t used = filters.weights_per_filter() % 8;
  for (int f = 0; f < filters.out_c; ++f) {
    filters.masks[f * row + row - 1] &= static_cast<uint8_t>((1 << used) - 1);
    filters.values_i8.insert(filters.values_i8.end(), {0, static_cast<int8_t>(f % 2 ? 127 : -127)});
  }
  layer.shape = {};
  ConvShape& s = layer.shape;
  s.in_c = filters.in_c;
  s.out_c = filters.out_c;
  s.kernel_h = s.kernel_w = 3;
  s.pad_top = s.pad_left = 1;
  s.in_h = s.out_h = 17;
  s.in_w = s.out_w = 23;
  layer.output = {};
  layer.output.multiplier.assign(s.out_c, 1 << 30);
  layer.output.shift.assign(s.out_c, -9);
  layer.output.input_zero_point = 128 - (1 << bits);
  layer.input_i8.resize(static_cast<size_t>(s.in_h) * s.in_w * s.in_c);
  for (int8_t& x : layer.input_i8) x = static_cast<int8_t>(127 - rng.Int(0, (1 << bits) - 1));
  return layer;
}

// All but portable code have tables of bytes.
inline bool HasByteTables() { return HostTarget().Isas().front() != Isa::kPortable; }

inline PlanOptions TableOptions() {
  PlanOptions options;
  options.family = "table";
  options.isa = IsaName(HostTarget().Isas().front());
  return options;
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TESTS_LOW_BIT_LAYER_H_
