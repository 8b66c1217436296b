#include "engine/requantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/target.h"

namespace tf_signbin {
namespace {

constexpr int kMostShift = 9;
constexpr int kTriedMultipliers = 8;  // on either side of the nearest one

// The addends that give all of `map`: none where most < least.
struct Addends {
  int least = std::numeric_limits<int16_t>::min(), most = std::numeric_limits<int16_t>::max();
};

Addends AddendsOf(const ByteMap& map, int multiplier, int shift) {
  const auto [lowest, highest] = std::minmax_element(map.begin(), map.end());
  const int unit = 1 << shift;
  Addends addends;
  for (int u = 0; u < 256; ++u) {
    const int scaled = output::ScaleForRequantization(u, multiplier);
    // The clamp holds either end.
    if (map[u] != *lowest) {
      addends.least = std::max(addends.least, map[u] * unit - scaled);
    }
    if (map[u] != *highest) {
      addends.most = std::min(addends.most, (map[u] + 1) * unit - 1 - scaled);
    }
    addends.most = std::min(addends.most, std::numeric_limits<int16_t>::max() - scaled);
  }
  return addends;
}

}  // namespace

std::optional<output::RequantizeParams> FindRequantization(const ByteMap& map, double scale) {
  const auto [lowest, highest] = std::minmax_element(map.begin(), map.end());
  for (int shift = kMostShift; shift >= 0; --shift) {
    const double exact = std::ldexp(scale, 8 + shift);
    if (!(exact + kTriedMultipliers <= std::numeric_limits<int16_t>::max())) continue;
    const int nearest = static_cast<int>(std::lround(exact));
    for (int i = 0; i <= 2 * kTriedMultipliers; ++i) {  // 0, -1, 1, -2 ...
      const int multiplier = nearest + (i % 2 ? -(i + 1) / 2 : i / 2);
      if (multiplier < 0) continue;
      const Addends addends = AddendsOf(map, multiplier, shift);
      if (addends.least > addends.most) continue;
      output::RequantizeParams params;
      params.multiplier = static_cast<int16_t>(multiplier);
      params.addend = static_cast<int16_t>((addends.least + addends.most) / 2);
      params.shift = shift;
      params.least = *lowest;
      params.most = *highest;
      return params;
    }
  }
  return std::nullopt;
}

Requantization::Requantization(const output::RequantizeParams& params, const PlanOptions& options)
    : params_(params), run_(&output::RequantizePortable) {
  for (const Isa isa : HostTarget().Isas()) {  // the better ones first
    if (options.isa != "auto" && options.isa != IsaName(isa)) continue;
    run_ = output::RequantizeFor(isa);
    break;
  }
}

bool Requantization::vectorized() const { return run_ != &output::RequantizePortable; }

void Requantization::Run(const int8_t* in, size_t count, int8_t* out, ThreadPool& pool) const {
  constexpr size_t kPart = 32 << 10;  // less takes no longer than to wake a thread
  const int parts = static_cast<int>((count + kPart - 1) / kPart);
  const auto run = [&](int part, int /*thread*/) {
    const size_t first = part * kPart;
    run_(params_, in + first, std::min(kPart, count - first), out + first);
  };
  if (parts <= 1 || pool.threads() == 1) {
    run_(params_, in, count, out);
  } else {
    pool.ParallelFor(parts, run);
  }
}

}  // namespace tf_signbin
