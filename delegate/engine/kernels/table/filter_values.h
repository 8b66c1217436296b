// The constants of each filter: what its sums are multiplied with, and what its output needs.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_FILTER_VALUES_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_FILTER_VALUES_H_

#include <cstddef>
#include <vector>

#include "engine/kernel.h"
#include "engine/kernels/table/streams.h"
#include "engine/kernels/table/table_ops.h"
#include "engine/types.h"

namespace tf_signbin {
namespace table {

template <typename Element>
struct FilterValues {
  using Sum = typename ElementTraits<Element>::Sum;
  using OutputParams = typename ElementTraits<Element>::OutputParams;

  // `segments`: of the layer's Streams. `takes_floats`: output::PixelLanesOps.
  FilterValues(const ConvProblem& problem, const std::vector<SumSegment>& segments,
               bool takes_floats);

  size_t bytes() const {
    return params.size() * sizeof(OutputParams) + floats.size() * sizeof(floats[0]) +
           (region_scale.size() + region_background.size()) * sizeof(Sum);
  }

  int regions = 1;
  // Sums are emptied into totals: there is more than one region or segment.
  bool has_totals = false;
  // Some background is not zero, and so the sum of all channels in a window is needed.
  bool has_box = false;
  bool fast_output = false;          // output::ArgsI8::fast
  std::vector<OutputParams> params;  // [filters]
  // output::ArgsI8::floats; empty where there are none, or where finding them would not pay.
  std::vector<output::FloatParamsI8> floats;
  // [filters, regions]; empty where there is one region, whose values are in `params`.
  std::vector<Sum> region_scale, region_background;

 private:
  void FindFloats(const ConvProblem& problem, const std::vector<SumSegment>& segments);
};

}  // namespace table
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_FILTER_VALUES_H_
