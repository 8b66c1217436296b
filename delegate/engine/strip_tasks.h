// The work of a convolution whose output rows are cut into strips, divided among threads.
#ifndef TF_SIGNBIN_ENGINE_STRIP_TASKS_H_
#define TF_SIGNBIN_ENGINE_STRIP_TASKS_H_

#include <algorithm>
#include <climits>
#include <vector>

namespace tf_signbin {

struct StripWork {
  int images = 1, strips = 1, rows = 1;  // rows: of a strip
  int blocks = 1;                        // of filters
  // So many images' strips are enough, even where they do not divide evenly.
  int enough_tasks = INT_MAX;
  // Rows are divided finer, in parts of at least this many: a thread that comes late then leaves
  // less to wait for. 0: once for each thread.
  int min_part_rows = 0;
};

// Output rows [first_row, end_row) of one strip of one image, filter blocks [first, end).
struct StripTask {
  int image, strip, first_row, end_row, first_block, end_block;
};

// Divides evenly: by image and strip first, then by rows, or by filters where rows are too few to
// divide well. A part of the rows prepares anew what its windows share with the part before.
inline std::vector<StripTask> DivideWork(const StripWork& work, int threads) {
  const int strips = work.images * work.strips;
  int row_parts = 1, block_parts = 1;
  if (strips % threads != 0 && strips < work.enough_tasks) {
    const bool even_rows = work.rows >= 10 * threads || work.rows % threads == 0;
    if (!even_rows && work.blocks >= threads) {
      block_parts = threads;
    } else {
      row_parts = std::min(threads, work.rows);
      while (work.min_part_rows > 0 && row_parts < 4 * threads &&
             work.rows >= 2 * row_parts * work.min_part_rows) {
        row_parts *= 2;
      }
    }
  }
  std::vector<StripTask> tasks;
  for (int image = 0; image < work.images; ++image) {
    for (int strip = 0; strip < work.strips; ++strip) {
      for (int row = 0; row < row_parts; ++row) {
        for (int block = 0; block < block_parts; ++block) {
          tasks.push_back({image, strip, work.rows * row / row_parts,
                           work.rows * (row + 1) / row_parts, work.blocks * block / block_parts,
                           work.blocks * (block + 1) / block_parts});
        }
      }
    }
  }
  return tasks;
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_STRIP_TASKS_H_
