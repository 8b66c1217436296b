// Groups of input channels, and what a filter's mask says of one.
#ifndef TF_SIGNBIN_ENGINE_CHANNEL_GROUPS_H_
#define TF_SIGNBIN_ENGINE_CHANNEL_GROUPS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "engine/types.h"

namespace tf_signbin {

// Consecutive input channels of one region that share a look-up.
struct ChannelGroup {
  int first_channel = 0;
  int channels = 0;
  int region = 0;
};

// Groups of `channels` that do not cross regions: the last one of a region may be smaller.
inline std::vector<ChannelGroup> MakeChannelGroups(const PackedFilters& filters, int channels) {
  std::vector<ChannelGroup> groups;
  const int per_region = filters.in_c / filters.regions;
  for (int region = 0; region < filters.regions; ++region) {
    for (int c = 0; c < per_region; c += channels) {
      groups.push_back({region * per_region + c, std::min(channels, per_region - c), region});
    }
  }
  return groups;
}

// Eight bytes, the first one in the lowest bits. Compilers do not make one load of shifts in a
// loop.
inline uint64_t LoadWord(const void* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

inline int PopCount(uint64_t x) {  // the compilers' own calls a function on x86 without SSE4.2
  x -= x >> 1 & 0x5555555555555555u;
  x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
  return static_cast<int>(((x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56);
}

// The mask bits of one filter in one plane.
class MaskRow {
 public:
  MaskRow(const PackedFilters& filters, int plane, int filter)
      : bytes_(filters.mask_row_bytes()),
        row_(filters.masks.data() +
             (static_cast<size_t>(plane) * filters.out_c + filter) * bytes_) {}

  // The `count` <= 32 bits from `first` on; no byte behind the row is read.
  uint32_t Bits(size_t first, int count) const {
    return static_cast<uint32_t>(WideBits(first, count));
  }
  // How many of the `count` bits from `first` on are set.
  int64_t Count(size_t first, size_t count) const {
    int64_t set = 0;
    for (; count > kWide; first += kWide, count -= kWide) set += PopCount(WideBits(first, kWide));
    return set + PopCount(WideBits(first, static_cast<int>(count)));
  }

 private:
  static constexpr int kWide = 57;  // bits of a 64-bit word that a byte's last bit may begin

  uint64_t WideBits(size_t first, int count) const {
    const size_t byte = first / 8;
    uint64_t word = 0;
    if (byte + 8 <= bytes_) {
      word = LoadWord(row_ + byte);
    } else {
      for (size_t i = 0; byte + i < bytes_; ++i) {
        word |= static_cast<uint64_t>(row_[byte + i]) << (8 * i);
      }
    }
    return word >> (first % 8) & ((uint64_t{1} << count) - 1);
  }

  size_t bytes_;
  const uint8_t* row_;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_CHANNEL_GROUPS_H_
