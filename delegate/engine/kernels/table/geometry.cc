#include "engine/kernels/table/geometry.h"

#include <algorithm>

#include "engine/ceil_div.h"

namespace tf_signbin {
namespace table {

Geometry Geometry::Rows(const ConvShape& shape, int vector_lanes, int rows, int row_lanes) {
  Geometry g;
  g.shape_ = shape;
  g.vector_lanes_ = vector_lanes;
  g.rows_ = rows;
  g.row_lanes_ = row_lanes;
  g.vectors_ = rows * row_lanes / vector_lanes;
  int min_phase, max_phase;
  g.GroupTaps(g.FindSlots(), &min_phase, &max_phase);
  g.FindPlaces(min_phase, max_phase);
  g.FindBands();
  return g;
}

std::vector<int> Geometry::FindSlots() {
  // For every kernel row a run of `rows_` input rows, one stride apart. Runs of the same row phase
  // that overlap are merged.
  const int stride = shape_.stride_h;
  std::vector<int> row_slot(shape_.kernel_h);
  for (int phase = 0; phase < stride; ++phase) {
    int run_begin = 0, run_end = 0;  // of the current run, in rows of this phase
    int run_slot = 0;
    bool open = false;
    for (int dy = 0; dy < shape_.kernel_h; ++dy) {
      const int row = dy * shape_.dilation_h;
      if (row % stride != phase) continue;
      const int begin = row / stride;
      if (!open || begin > run_end) {
        open = true;
        run_begin = run_end = begin;
        run_slot = static_cast<int>(slots_.size());
      }
      row_slot[dy] = run_slot + begin - run_begin;
      for (; run_end < begin + rows_; ++run_end) slots_.push_back(run_end * stride + phase);
    }
  }
  return row_slot;
}

void Geometry::GroupTaps(const std::vector<int>& row_slot, int* min_phase, int* max_phase) {
  const int stride = shape_.stride_w, slots = static_cast<int>(slots_.size());
  *min_phase = stride;
  *max_phase = 0;
  for (int dx = 0; dx < shape_.kernel_w; ++dx) {
    const int column = dx * shape_.dilation_w;
    *min_phase = std::min(*min_phase, column % stride);
    *max_phase = std::max(*max_phase, column % stride);
    max_shift_ = std::max(max_shift_, column / stride);
  }
  column_phases_ = *max_phase + 1;
  for (int shift = max_shift_, last = max_shift_; shift >= 0; --shift) {
    ShiftGroup group;
    group.shift = last - shift;
    group.total = shift;
    for (int dy = 0; dy < shape_.kernel_h; ++dy) {
      for (int dx = 0; dx < shape_.kernel_w; ++dx) {
        const int column = dx * shape_.dilation_w;
        if (column / stride != shift) continue;
        group.taps.push_back(
            {dy * shape_.kernel_w + dx, (column % stride * slots + row_slot[dy]) * row_lanes_});
      }
    }
    if (group.taps.empty()) continue;
    last = shift;
    shift_groups_.push_back(group);
  }
  entry_lanes_ = column_phases_ * slots * row_lanes_;
}

void Geometry::FindPlaces(int min_phase, int max_phase) {
  // Lane l of phase p is input column (l * stride + p - pad).
  const int lanes = shape_.out_w + max_shift_, stride = shape_.stride_w;
  int lead = 0, trail = 0;  // lanes that are padding whatever the phase
  while (lead < lanes && lead * stride + max_phase < shape_.pad_left) ++lead;
  while (lanes - 1 - trail >= shape_.out_w &&
         (lanes - 1 - trail) * stride + min_phase - shape_.pad_left >= shape_.in_w) {
    ++trail;
  }
  const int pitch = lanes - std::min(lead, trail);
  if (pitch <= row_lanes_) {
    places_ = row_lanes_ / pitch;
    place_pitch_ = pitch;
    place_columns_ = shape_.out_w;
    column_tiles_ = 1;
  } else {
    places_ = 1;
    place_pitch_ = row_lanes_;
    place_columns_ = row_lanes_ - max_shift_;
    column_tiles_ = CeilDiv(shape_.out_w, std::max(1, place_columns_));
  }
}

// As many as give the fewest tiles.
void Geometry::FindBands() {
  int best = 0;
  for (int bands = 1; bands <= std::min(shape_.out_h, places_ * 2); ++bands) {
    const int band_rows = CeilDiv(shape_.out_h, bands);
    const int tiles = CeilDiv(shape_.batch * bands, places_) * CeilDiv(band_rows, rows_);
    if (best == 0 || tiles < best) {
      best = tiles;
      bands_ = bands;
      band_rows_ = band_rows;
    }
  }
  row_tiles_ = CeilDiv(band_rows_, rows_);
  tiles_ = best * column_tiles_;
}

Geometry Geometry::Flat(const ConvShape& shape, int vector_lanes, int vectors) {
  Geometry g;
  g.shape_ = shape;
  g.flat_ = true;
  g.vector_lanes_ = vector_lanes;
  g.vectors_ = vectors;
  ShiftGroup group{0, 0, {}};
  const int taps = shape.kernel_h * shape.kernel_w;
  for (int tap = 0; tap < taps; ++tap) group.taps.push_back({tap, tap * vectors * vector_lanes});
  g.shift_groups_.push_back(group);
  g.entry_lanes_ = taps * vectors * vector_lanes;
  const int pixels = shape.batch * shape.out_h * shape.out_w;
  g.tiles_ = CeilDiv(pixels, vectors * vector_lanes);
  return g;
}

Geometry Geometry::WithoutShifts() const {
  Geometry g = *this;
  ShiftGroup all{0, 0, {}};
  for (const ShiftGroup& group : shift_groups_) {
    for (const Tap& tap : group.taps) all.taps.push_back({tap.index, tap.offset + group.total});
  }
  g.shift_groups_ = {all};
  return g;
}

bool Geometry::PlaceOf(int tile, int index, Place* place) const {
  const int column_tile = tile % column_tiles_;
  const int row_tile = tile / column_tiles_ % row_tiles_;
  const int band = tile / column_tiles_ / row_tiles_ * places_ + index;
  if (band >= shape_.batch * bands_) return false;
  place->image = band / bands_;
  place->first_row = band % bands_ * band_rows_ + row_tile * rows_;
  place->first_column = column_tile * place_columns_;
  return place->first_row < std::min(shape_.out_h, (band % bands_ + 1) * band_rows_);
}

void Geometry::InputPixels(int tile, const char* input, size_t pixel_bytes, const char* zero,
                           const char** pixels) const {
  const ConvShape& s = shape_;
  if (flat_) {
    const int lanes = tile_lanes();
    const int total = s.batch * s.out_h * s.out_w;
    // Output pixels of one row at a time.
    for (int lane = 0; lane < lanes;) {
      const int pixel = tile * lanes + lane;
      if (pixel >= total) {
        for (int tap = 0; tap < s.kernel_h * s.kernel_w; ++tap) {
          std::fill(pixels + tap * lanes + lane, pixels + (tap + 1) * lanes, zero);
        }
        break;
      }
      const int column = pixel % s.out_w, y0 = pixel / s.out_w % s.out_h * s.stride_h - s.pad_top;
      const size_t image = static_cast<size_t>(pixel / s.out_w / s.out_h);
      const int count = std::min(s.out_w - column, lanes - lane);
      for (int dy = 0; dy < s.kernel_h; ++dy) {
        const int y = y0 + dy * s.dilation_h;
        const bool inside = y >= 0 && y < s.in_h;
        const char* row = inside ? input + (image * s.in_h + y) * s.in_w * pixel_bytes : nullptr;
        for (int dx = 0; dx < s.kernel_w; ++dx) {
          const char** to = pixels + (dy * s.kernel_w + dx) * lanes + lane;
          int x = column * s.stride_w - s.pad_left + dx * s.dilation_w;
          for (int i = 0; i < count; ++i, x += s.stride_w) {
            to[i] =
                inside && x >= 0 && x < s.in_w ? row + static_cast<size_t>(x) * pixel_bytes : zero;
          }
        }
      }
      lane += count;
    }
    return;
  }
  std::fill(pixels, pixels + entry_lanes_, zero);
  const int slots = static_cast<int>(slots_.size());
  for (int index = 0; index < places_; ++index) {
    Place place;
    if (!PlaceOf(tile, index, &place)) continue;
    for (int slot = 0; slot < slots; ++slot) {
      const int y = place.first_row * s.stride_h + slots_[slot] - s.pad_top;
      if (y < 0 || y >= s.in_h) continue;
      const char* row =
          input + (static_cast<size_t>(place.image) * s.in_h + y) * s.in_w * pixel_bytes;
      for (int phase = 0; phase < column_phases_; ++phase) {
        const char** lanes = pixels + (phase * slots + slot) * row_lanes_ + index * place_pitch_;
        int x = place.first_column * s.stride_w + phase - s.pad_left;
        for (int lane = 0; lane < place_pitch_ && x < s.in_w; ++lane, x += s.stride_w) {
          if (x >= 0) lanes[lane] = row + static_cast<size_t>(x) * pixel_bytes;
        }
      }
    }
  }
}

void Geometry::OutputPixels(int tile, char* output, size_t pixel_bytes, char** pixels) const {
  const ConvShape& s = shape_;
  if (flat_) {
    const int lanes = tile_lanes();
    const int total = s.batch * s.out_h * s.out_w;
    for (int lane = 0; lane < lanes; ++lane) {
      const int pixel = tile * lanes + lane;
      pixels[lane] = pixel < total ? output + static_cast<size_t>(pixel) * pixel_bytes : nullptr;
    }
    return;
  }
  std::fill(pixels, pixels + tile_lanes(), nullptr);
  for (int index = 0; index < places_; ++index) {
    Place place;
    if (!PlaceOf(tile, index, &place)) continue;
    const int band_end = std::min(s.out_h, (place.first_row / band_rows_ + 1) * band_rows_);
    const int columns = std::min(place_columns_, s.out_w - place.first_column);
    for (int row = 0; row < rows_ && place.first_row + row < band_end; ++row) {
      char* out =
          output + ((static_cast<size_t>(place.image) * s.out_h + place.first_row + row) * s.out_w +
                    place.first_column) *
                       pixel_bytes;
      char** lanes = pixels + row * row_lanes_ + index * place_pitch_;
      for (int lane = 0; lane < columns; ++lane) {
        lanes[lane] = out + static_cast<size_t>(lane) * pixel_bytes;
      }
    }
  }
}

}  // namespace table
}  // namespace tf_signbin
