#include "engine/detect.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include "engine/channel_groups.h"

namespace tf_signbin {
namespace {

// Float weights that went through `w + stop_gradient(q - w)` come back from constant folding a few
// units in the last place off; values this close, relative to the region's largest magnitude, are
// one value.
constexpr double kFloatTolerance = 1.0 / (1 << 20);

// The weights of one filter and region: `channels` of every `in_c`, once a tap. Without regions
// they are one run.
template <typename T>
struct Region {
  const T* first;
  int runs;
  size_t run, step;

  size_t size() const { return runs * run; }
  // Calls visit(weights, count, index of the first in the filter) for each run until it returns
  // false; returns whether it never did.
  template <typename Visit>
  bool All(const Visit& visit) const {
    for (int i = 0; i < runs; ++i) {
      if (!visit(first + i * step, run, i * step)) return false;
    }
    return true;
  }
};

// What a region's weights are, once it is known to have few values. A weight has a mask bit where
// it lies within [low, high]; of a ternary region, another one where its negative does.
template <typename T>
struct RegionValues {
  T background = 0, effectual = 0;
  T low = 1, high = 0;
};

// The least and the largest weight, and how far from one of them a weight may lie.
template <typename T>
struct Ends {
  T low, high;
  double limit;
};

bool FindEnds(const Region<int8_t>& region, Ends<int8_t>* ends) {
  uint8_t low = 255, high = 0;  // of weights + 128, for which baseline x86 has vector instructions
  region.All([&](const int8_t* weights, size_t count, size_t) {
    for (size_t i = 0; i < count; ++i) {
      const auto weight = static_cast<uint8_t>(weights[i] ^ -128);
      low = std::min(low, weight);
      high = std::max(high, weight);
    }
    return true;
  });
  *ends = {static_cast<int8_t>(low ^ 128), static_cast<int8_t>(high ^ 128), 0};
  return true;
}

// False when a weight is not finite.
bool FindEnds(const Region<float>& region, Ends<float>* ends) {
  // Lanes, so that the loops become vector instructions.
  constexpr size_t kLanes = 16;
  float low[kLanes], high[kLanes];
  std::fill_n(low, kLanes, region.first[0]);
  std::fill_n(high, kLanes, region.first[0]);
  bool finite = true;
  region.All([&](const float* weights, size_t count, size_t) {
    size_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) {
        const float weight = weights[i + lane];
        low[lane] = weight < low[lane] ? weight : low[lane];
        high[lane] = weight > high[lane] ? weight : high[lane];
        finite &= weight - weight == 0;
      }
    }
    for (; i < count; ++i) {
      low[0] = std::min(low[0], weights[i]);
      high[0] = std::max(high[0], weights[i]);
      finite &= weights[i] - weights[i] == 0;
    }
    return finite;
  });
  if (!finite) return false;
  ends->low = *std::min_element(low, low + kLanes);
  ends->high = *std::max_element(high, high + kLanes);
  ends->limit = kFloatTolerance * std::max(std::abs(static_cast<double>(ends->low)),
                                           std::abs(static_cast<double>(ends->high)));
  return true;
}

// The largest T that is at most `bound`, and the least that is at least `bound`.
float AtMost(double bound, float) {
  const float rounded = static_cast<float>(bound);
  return rounded > bound ? std::nextafter(rounded, -INFINITY) : rounded;
}
float AtLeast(double bound, float) {
  const float rounded = static_cast<float>(bound);
  return rounded < bound ? std::nextafter(rounded, INFINITY) : rounded;
}
int8_t AtMost(double bound, int8_t) { return static_cast<int8_t>(bound); }
int8_t AtLeast(double bound, int8_t) { return static_cast<int8_t>(bound); }

// Mean of the weights within [low, high], as offsets from `anchor`, one of them.
template <typename T>
T MeanOf(const Region<T>& region, T low, T high, T anchor, bool magnitudes = false) {
  if (low == high) return anchor;
  double offsets = 0;
  size_t count = 0;
  region.All([&](const T* weights, size_t run, size_t) {
    for (size_t i = 0; i < run; ++i) {
      const T weight = magnitudes ? static_cast<T>(std::abs(weights[i])) : weights[i];
      if (weight < low || weight > high) continue;
      offsets += static_cast<double>(weight) - static_cast<double>(anchor);
      ++count;
    }
    return true;
  });
  const double mean =
      count == 0 ? 0 : static_cast<double>(anchor) + offsets / static_cast<double>(count);
  return static_cast<T>(mean);
}

template <typename T>
bool TwoValued(const Region<T>& region, RegionValues<T>* values) {
  Ends<T> ends;
  if (!FindEnds(region, &ends)) return false;
  const T high_least = AtLeast(static_cast<double>(ends.high) - ends.limit, T());
  T low_most = AtMost(static_cast<double>(ends.low) + ends.limit, T());
  if constexpr (std::is_same<T, float>::value) {  // what is near both ends counts as the high one
    low_most = std::min(low_most, std::nextafter(high_least, -INFINITY));
  }
  size_t highs = 0;
  const bool two = region.All([&](const T* weights, size_t run, size_t) {
    // Few at a time: dense filters are found out early.
    constexpr size_t kAtATime = 64;
    for (size_t first = 0; first < run; first += kAtATime) {
      const size_t count = std::min(kAtATime, run - first);
      unsigned high = 0, others = 0;
      for (size_t i = first; i < first + count; ++i) {
        high += weights[i] >= high_least;
        others += weights[i] < high_least && weights[i] > low_most;
      }
      if (others > 0) return false;
      highs += high;
    }
    return true;
  });
  if (!two) return false;
  const size_t lows = region.size() - highs;
  const auto mean = [&](T least, T most, T anchor, size_t count) {
    if (count == 0 || !std::is_same<T, float>::value) return anchor;
    const T value = MeanOf(region, least, most, anchor);
    return std::abs(static_cast<double>(value)) <= ends.limit ? T(0) : value;
  };
  const T high = mean(high_least, ends.high, ends.high, highs);
  const T low = mean(ends.low, low_most, ends.low, lows);
  // A region with a zero has background 0. Otherwise the rarer value is the effectual one; at equal
  // counts the one of larger magnitude, then the positive one.
  const bool constant = lows == 0;
  const bool rarer = highs < lows || (highs == lows && std::abs(static_cast<double>(high)) >=
                                                           std::abs(static_cast<double>(low)));
  const bool high_effectual = high != 0 && (constant || low == 0 || rarer);
  values->background = constant && high != 0 ? T(0) : high_effectual ? low : high;
  values->effectual = high_effectual ? high : low;
  if (high_effectual) {
    values->low = high_least, values->high = ends.high;
  } else if (!constant) {  // an all-zero region has no mask bit
    values->low = ends.low, values->high = low_most;
  }
  return true;
}

template <typename T>
bool Ternary(const Region<T>& region, RegionValues<T>* values) {
  Ends<T> ends;
  if (!FindEnds(region, &ends)) return false;
  const double scale =
      std::max(std::abs(static_cast<double>(ends.low)), std::abs(static_cast<double>(ends.high)));
  if (std::is_same<T, int8_t>::value && scale > 127) return false;
  const T least = AtLeast(scale - ends.limit, T()), zero = AtMost(ends.limit, T());
  const T most = static_cast<T>(scale);
  const bool ternary = region.All([&](const T* weights, size_t run, size_t) {
    for (size_t i = 0; i < run; ++i) {
      const T magnitude = static_cast<T>(std::abs(weights[i]));
      if (magnitude < least && magnitude > zero) return false;
    }
    return true;
  });
  if (!ternary) return false;
  if (scale > 0) {
    values->low = least, values->high = most;
    values->effectual =
        std::is_same<T, float>::value ? MeanOf(region, least, most, most, true) : most;
  }
  return true;
}

// A bit for each of eight weights within [low, high].
unsigned BitsWithin(const float* weights, float low, float high) {
  unsigned bits = 0;
  for (int i = 0; i < 8; ++i) bits |= (weights[i] >= low && weights[i] <= high ? 1u : 0u) << i;
  return bits;
}
// Of int8 weights without tolerance: low == high, or there are none.
unsigned BitsWithin(const int8_t* weights, int8_t low, int8_t high) {
  if (low > high) return 0;
  uint64_t differ = LoadWord(weights) ^ static_cast<uint8_t>(low) * 0x0101010101010101u;
  // The highest bit of each byte: whether the byte is not zero.
  constexpr uint64_t kLow7 = 0x7f7f7f7f7f7f7f7fu;
  differ |= (differ & kLow7) + kLow7;
  // Moves bit 8 i to 56 + i.
  return static_cast<unsigned>(((~differ & ~kLow7) >> 7) * 0x0102040810204080u >> 56);
}

// Sets the bits from `first` on of the weights within [low, high].
template <typename T>
void SetBits(const T* weights, size_t count, T low, T high, size_t first, uint8_t* row) {
  const auto inside = [&](size_t i) { return weights[i] >= low && weights[i] <= high; };
  size_t i = 0;
  for (; i < count && (first + i) % 8 != 0; ++i)
    row[(first + i) / 8] |= inside(i) << (first + i) % 8;
  for (; i + 8 <= count; i += 8) {
    row[(first + i) / 8] = static_cast<uint8_t>(BitsWithin(weights + i, low, high));
  }
  for (; i < count; ++i) row[(first + i) / 8] |= inside(i) << (first + i) % 8;
}

template <typename T>
std::vector<T>& Values(PackedFilters* filters) {
  if constexpr (std::is_same<T, float>::value) {
    return filters->values_f32;
  } else {
    return filters->values_i8;
  }
}

template <typename T>
bool PackAs(WeightKind kind, int regions, const T* weights, PackedFilters* f) {
  f->kind = kind;
  f->regions = regions;
  const size_t channels = f->in_c / regions, per_filter = f->weights_per_filter();
  const auto region_at = [&](int filter, int region) {
    const T* first = weights + filter * per_filter + region * channels;
    return regions == 1 ? Region<T>{first, 1, per_filter, per_filter}
                        : Region<T>{first, f->kernel_h * f->kernel_w, channels,
                                    static_cast<size_t>(f->in_c)};
  };
  std::vector<RegionValues<T>> values(static_cast<size_t>(f->out_c) * regions);
  for (int filter = 0; filter < f->out_c; ++filter) {
    for (int region = 0; region < regions; ++region) {
      RegionValues<T>* v = &values[static_cast<size_t>(filter) * regions + region];
      const bool found = kind == WeightKind::kTwoValued ? TwoValued(region_at(filter, region), v)
                                                        : Ternary(region_at(filter, region), v);
      if (!found) return false;
    }
  }
  const size_t row_bytes = f->mask_row_bytes();
  f->masks.assign(static_cast<size_t>(f->planes()) * f->out_c * row_bytes, 0);
  std::vector<T>& packed = Values<T>(f);
  packed.clear();
  for (int filter = 0; filter < f->out_c; ++filter) {
    for (int region = 0; region < regions; ++region) {
      const RegionValues<T>& v = values[static_cast<size_t>(filter) * regions + region];
      if (kind == WeightKind::kTwoValued) packed.push_back(v.background);
      packed.push_back(v.effectual);
      uint8_t* plus = f->masks.data() + filter * row_bytes;
      uint8_t* minus = plus + f->out_c * row_bytes;
      region_at(filter, region).All([&](const T* run, size_t count, size_t offset) {
        const size_t first = region * channels + offset;
        SetBits(run, count, v.low, v.high, first, plus);
        if (kind == WeightKind::kTernary && v.low <= v.high) {
          SetBits(run, count, static_cast<T>(-v.high), static_cast<T>(-v.low), first, minus);
        }
        return true;
      });
    }
  }
  return true;
}

// Whether a filter keeps to the pattern with its mask, or with the mask's complement.
bool KeepsPattern(const PackedFilters& f, int filter, bool complement, ChannelPattern pattern) {
  const MaskRow row(f, 0, filter);
  const int taps = f.kernel_h * f.kernel_w;
  for (int tap = 0; tap < taps; ++tap) {
    for (int c = 0; c < f.in_c; c += pattern.m) {
      const int count = std::min(pattern.m, f.in_c - c);
      const int set = PopCount(row.Bits(static_cast<size_t>(tap) * f.in_c + c, count));
      if ((complement ? count - set : set) > pattern.n) return false;
    }
  }
  return true;
}

// Takes the first pattern that every filter keeps to. A filter without a zero may take either of
// its values as the background: where only the other choice keeps to the pattern, it is changed.
template <typename T>
void ChoosePattern(const std::vector<ChannelPattern>& patterns, PackedFilters* f) {
  std::vector<T>& values = Values<T>(f);
  const size_t row_bytes = f->mask_row_bytes(), weights = f->weights_per_filter();
  std::vector<int> swapped;
  for (const ChannelPattern pattern : patterns) {
    swapped.clear();
    int filter = 0;
    for (; filter < f->out_c; ++filter) {
      if (KeepsPattern(*f, filter, false, pattern)) continue;
      const bool swappable =
          f->regions == 1 && values[2 * filter] != 0 && values[2 * filter + 1] != 0;
      if (!swappable || !KeepsPattern(*f, filter, true, pattern)) break;
      swapped.push_back(filter);
    }
    if (filter < f->out_c) continue;
    for (const int i : swapped) {
      std::swap(values[2 * i], values[2 * i + 1]);
      uint8_t* row = f->masks.data() + i * row_bytes;
      for (size_t byte = 0; byte < row_bytes; ++byte) row[byte] = static_cast<uint8_t>(~row[byte]);
      if (weights % 8 != 0) row[row_bytes - 1] &= static_cast<uint8_t>((1u << weights % 8) - 1);
    }
    f->pattern_n = pattern.n;
    f->pattern_m = pattern.m;
    return;
  }
}

template <typename T>
bool Pack(const T* weights, DataType type, PackedFilters* f) {
  const size_t dense_bytes = f->out_c * f->weights_per_filter() * sizeof(T);
  for (const WeightKind kind : {WeightKind::kTwoValued, WeightKind::kTernary}) {
    f->kind = kind;
    for (int regions = 1; regions <= f->in_c; ++regions) {
      if (f->in_c % regions != 0) continue;
      const size_t packed_bytes = f->out_c * (f->planes() * f->mask_row_bytes() +
                                              regions * f->values_per_region() * sizeof(T));
      if (packed_bytes >= dense_bytes) break;
      if (!PackAs(kind, regions, weights, f)) continue;
      if (kind == WeightKind::kTwoValued) ChoosePattern<T>(UsefulPatterns(type), f);
      return true;
    }
  }
  return false;
}

}  // namespace

const std::vector<ChannelPattern>& UsefulPatterns(DataType type) {
  static const std::vector<ChannelPattern> int8 = {{2, 10}, {2, 9}, {2, 8}, {3, 7}};
  static const std::vector<ChannelPattern> float32 = {{2, 7}, {2, 6}};
  return type == DataType::kInt8 ? int8 : float32;
}

bool PackByValue(const float* weights, PackedFilters* filters) {
  return Pack(weights, DataType::kFloat32, filters);
}

bool PackByValue(const int8_t* weights, PackedFilters* filters) {
  return Pack(weights, DataType::kInt8, filters);
}

}  // namespace tf_signbin
