// Which pixel sits in which lane: the mapping of a convolution onto vectors.
//
// A tile is a set of output pixels whose accumulators stay in registers: `vectors` vectors of
// `vector_lanes` lanes. A table entry (and an input plane) is `entry_lanes` lanes: every input
// pixel the tile needs. Two mappings exist:
//
// Rows: the tile is `rows` output rows of `row_lanes` lanes. An entry holds, for each column phase
// (input column modulo stride), the needed input rows; the rows of consecutive output rows lie side
// by side, so one offset serves all of them. A tap's column is reached by shifting the accumulators
// one lane at a time between groups of taps (Horner's rule over columns): all table loads stay
// aligned. Tables of bytes do without shifts (WithoutShifts). Where images are narrow, a row of
// lanes has several places, for bands of the same image or other images of the batch. Zero columns
// at the right of a place are shared with those at the left of the next.
//
// Flat: the tile is any `vectors * vector_lanes` consecutive output pixels, and an entry holds one
// copy of them per tap. No shifts and no idle lanes, at the price of larger tables.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_GEOMETRY_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_GEOMETRY_H_

#include <cstddef>
#include <vector>

#include "engine/types.h"

namespace tf_signbin {
namespace table {

// A tap of the kernel as the look-up sees it.
struct Tap {
  int index;   // dy * kernel_w + dx
  int offset;  // lanes from the start of an entry to the tap's first lane
};

// Taps that share one lane shift.
struct ShiftGroup {
  int shift;  // lanes to shift the accumulators down before this group is added
  int total;  // the group's taps are this many lanes to the right of the output
  std::vector<Tap> taps;
};

class Geometry {
 public:
  // `row_lanes` is a multiple of `vector_lanes`.
  static Geometry Rows(const ConvShape& shape, int vector_lanes, int rows, int row_lanes);
  static Geometry Flat(const ConvShape& shape, int vector_lanes, int vectors);
  // The same lanes with all taps in one group: those of a column are loaded from as many lanes on,
  // up to max_shift() lanes behind the entry.
  Geometry WithoutShifts() const;

  int vectors() const { return vectors_; }
  int tile_lanes() const { return vectors_ * vector_lanes_; }
  int entry_lanes() const { return entry_lanes_; }
  int tiles() const { return tiles_; }
  const std::vector<ShiftGroup>& shift_groups() const { return shift_groups_; }
  // The most lanes that a tap's column is to the right of the output.
  int max_shift() const { return max_shift_; }

  // pixels[entry_lanes]: address of the input pixel in each lane of an entry, `zero` for padding
  // and idle lanes. `pixel_bytes` is the size of one pixel (all channels).
  void InputPixels(int tile, const char* input, size_t pixel_bytes, const char* zero,
                   const char** pixels) const;
  // pixels[tile_lanes]: address of the output pixel in each lane, null in idle lanes.
  void OutputPixels(int tile, char* output, size_t pixel_bytes, char** pixels) const;

 private:
  // What one place of a tile's rows of lanes shows: output pixels of one band of an image, from
  // this row and column on.
  struct Place {
    int image, first_row, first_column;
  };
  // Place `index` of a tile; false where it is idle.
  bool PlaceOf(int tile, int index, Place* place) const;
  // Steps of Rows. The entry's row of each kernel row.
  std::vector<int> FindSlots();
  // min_phase, max_phase: the column phases that occur.
  void GroupTaps(const std::vector<int>& row_slot, int* min_phase, int* max_phase);
  void FindPlaces(int min_phase, int max_phase);
  void FindBands();

  ConvShape shape_;
  bool flat_ = false;
  int vector_lanes_ = 1, vectors_ = 1, entry_lanes_ = 1, tiles_ = 1;
  int max_shift_ = 0;
  std::vector<ShiftGroup> shift_groups_;
  // rows
  int rows_ = 1, row_lanes_ = 1;
  int column_phases_ = 1;
  std::vector<int> slots_;         // input row of each row of an entry, from the tile's first
  int places_ = 1;                 // in one row of lanes
  int place_pitch_ = 1;            // lanes from one place to the next
  int place_columns_ = 1;          // output columns of a place
  int bands_ = 1, band_rows_ = 1;  // of one image
  int row_tiles_ = 1, column_tiles_ = 1;
};

}  // namespace table
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_GEOMETRY_H_
