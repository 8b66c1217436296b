#include "engine/kernels/table/planner.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/ceil_div.h"
#include "engine/kernels/table/costs.h"

namespace tf_signbin {
namespace table {
namespace {

// Offsets are 16-bit; some are left for the zeros in front of the tables, and for taps that reach
// behind an entry.
constexpr size_t MaxChunkBytes(bool bytes) { return 65535 * (bytes ? 1 : kOffsetUnit) - 1024; }

// Loops of varying length whose lengths a branch predictor keeps.
constexpr double kLearnedLoops = 16000;

struct Estimator {
  const ConvProblem& problem;
  const TableOps& ops;
  bool bytes;
  UnitCosts cost;
  int element_bytes, vector_lanes;
  int max_vectors, list_multiple;  // ElementOps
  bool has_background;

  Estimator(const ConvProblem& p, const TableOps& o, bool byte_tables)
      : problem(p),
        ops(o),
        bytes(byte_tables),
        cost(UnitCostsOf(o.isa, Elements(), p.target)),
        element_bytes(bytes                       ? 1
                      : p.type == DataType::kInt8 ? 2
                                                  : 4),
        vector_lanes(o.vector_bytes / element_bytes),
        max_vectors(bytes ? o.u8.max_vectors : o.i16.max_vectors),
        list_multiple(bytes ? o.u8.list_multiple : o.i16.list_multiple),
        has_background(p.filters->has_background()) {}

  TableElements Elements() const {
    return bytes                             ? TableElements::kBytes
           : problem.type == DataType::kInt8 ? TableElements::kInt16
                                             : TableElements::kFloat;
  }
  int GroupCount(int group) const {
    const int regions = problem.filters->regions;
    return regions * ((problem.shape.in_c / regions + group - 1) / group);
  }
  static int EntriesOf(const StreamOptions& s) {
    return SubsetTable::EntriesOf(s.group, s.limit, /*zero_entry=*/!s.skip_zeros);
  }
  size_t GroupBytes(const Geometry& geometry, const StreamOptions& s) const {
    return static_cast<size_t>(EntriesOf(s)) * geometry.entry_lanes() * element_bytes;
  }
  // Whether the planes are the table.
  static bool Direct(const StreamOptions& s) { return s.group == 1 && s.skip_zeros; }
  double ChunkBytes(const Geometry& geometry, const StreamOptions& s) const {
    return static_cast<double>(GroupBytes(geometry, s)) *
           std::min(GroupCount(s.group), s.chunk_groups);
  }
  // How many entries are added as bytes; 0 where a byte does not hold one.
  int ByteSums(const StreamOptions& s) const {
    return TableConfig::ByteSums(s, problem.most_input(), ops);
  }
  bool Possible(const Geometry& geometry, const StreamOptions& s) const {
    return geometry.vectors() >= 1 && geometry.vectors() <= max_vectors && s.group >= 1 &&
           s.group <= kMaxGroup && s.limit >= 1 && s.chunk_groups >= 1 && geometry.tiles() >= 1 &&
           GroupBytes(geometry, s) * s.chunk_groups <= MaxChunkBytes(bytes) &&
           (!bytes || (problem.nonnegative && problem.most_input() > 0 && ByteSums(s) > 0));
  }

  // Look-ups that fill up a filter's lists of every group and tap to ElementOps::list_multiple.
  double Filling(const Geometry& geometry, int chunk_groups, int groups) const {
    const auto of_chunk = [&](int chunk) {
      int filling = 0;
      for (const ShiftGroup& group : geometry.shift_groups()) {
        const int over = static_cast<int>(group.taps.size()) * chunk % list_multiple;
        if (over > 0) filling += list_multiple - over;
      }
      return filling;
    };
    return groups / chunk_groups * of_chunk(chunk_groups) + of_chunk(groups % chunk_groups);
  }

  Work WorkOf(const Geometry& geometry, const StreamOptions& s, const Histogram& histogram) const {
    const double groups = GroupCount(s.group);
    const double filters = problem.shape.out_c;
    const double vectors = geometry.vectors();
    int shifts = 0;
    for (const ShiftGroup& group : geometry.shift_groups()) shifts += group.shift;
    double lookups = 0;  // of one filter
    for (int k = 0; k <= s.group; ++k) {
      lookups += histogram[k] * (k == 0 ? !s.skip_zeros : (k + s.limit - 1) / s.limit);
    }
    const double passes = filters * std::ceil(groups / s.chunk_groups);
    const double lists = passes * static_cast<double>(geometry.shift_groups().size());
    lookups += s.skip_zeros ? (list_multiple - 1) / 2.0 * lists / filters
                            : Filling(geometry, s.chunk_groups, GroupCount(s.group));
    const double chunk_bytes = ChunkBytes(geometry, s);
    const bool direct = Direct(s);
    // Share of table accesses that miss the near caches. Filters walk through planes from end to
    // end, so that those which the first level does not hold push out one another.
    const double near = direct ? cost.level1_bytes : cost.near_bytes;
    const double miss = chunk_bytes <= near ? 0 : 1 - near / chunk_bytes;
    const double entry_vectors = static_cast<double>(geometry.entry_lanes()) / vector_lanes;
    const double tiles = geometry.tiles();

    Work work;
    work.loads = tiles * filters * lookups * vectors;
    work.stores = direct ? 0 : tiles * groups * EntriesOf(s) * entry_vectors;
    work.misses = miss * (work.loads + work.stores);
    work.offsets = tiles * filters * lookups;
    if (bytes) {
      // Half a sum is lost at the end of a list, on average.
      const double rest = 0.5 * (1 - 1.0 / ByteSums(s)) * lists;
      work.widenings = tiles * vectors * (filters * lookups / ByteSums(s) + rest);
    }
    work.passes = tiles * passes;
    work.accumulates = tiles * passes * vectors;
    work.shifts = tiles * passes * vectors * shifts;
    // Branch predictors learn the lengths of a stream that is short and read for every tile.
    if (s.skip_zeros) work.branch_misses = tiles * lists * std::min(1.0, lists / kLearnedLoops);
    work.elements_in = tiles * geometry.entry_lanes() * problem.shape.in_c;
    work.elements_out = tiles * vectors * vector_lanes * filters;
    if (has_background) {
      work.summed_in = work.elements_in;
      work.backgrounds = work.elements_out;
    }
    return work;
  }
};

int PatternLimit(const PackedFilters& filters, int group) {
  return filters.pattern_m == group ? filters.pattern_n : 0;
}

}  // namespace

std::string TableConfig::ToString() const {
  std::string text = "g" + std::to_string(stream.group);
  if (stream.limit < stream.group) text += "n" + std::to_string(stream.limit);
  text += flat ? "_flat" + std::to_string(rows)
               : "_r" + std::to_string(rows) + "v" + std::to_string(row_vectors);
  text += "_c" + std::to_string(stream.chunk_groups);
  if (stream.skip_zeros) text += "_sparse";
  return text;
}

TablePlan EvaluateTable(const ConvProblem& problem, const TableOps& ops,
                        const TableConfig& config) {
  const Estimator estimator(problem, ops, config.bytes);
  TablePlan plan;
  plan.config = config;
  const Geometry geometry = config.MakeGeometry(problem.shape, estimator.vector_lanes);
  plan.possible = estimator.Possible(geometry, config.stream);
  if (plan.possible) plan.cost_ns = estimator.cost.Of(WorkOfTable(problem, ops, config).work);
  return plan;
}

TableWork WorkOfTable(const ConvProblem& problem, const TableOps& ops, const TableConfig& config) {
  const Estimator estimator(problem, ops, config.bytes);
  const Geometry geometry = config.MakeGeometry(problem.shape, estimator.vector_lanes);
  const Histogram histogram = MaskSample(*problem.filters).OfGroups(config.stream.group);
  return {estimator.WorkOf(geometry, config.stream, histogram),
          estimator.ChunkBytes(geometry, config.stream), Estimator::Direct(config.stream)};
}

namespace {

// Tries the configurations that one may want and keeps the cheapest.
class Search {
 public:
  Search(const Estimator& estimator, const MaskSample& sample, int group)
      : estimator_(estimator), shape_(estimator.problem.shape) {
    FindChoices(sample, group);
  }

  TablePlan Run() {
    const int lanes = estimator_.vector_lanes, most = estimator_.max_vectors;
    const int span = shape_.dilation_w * (shape_.kernel_w - 1) / shape_.stride_w;
    const int64_t columns = int64_t{shape_.out_w + span} * std::max(1, shape_.batch * shape_.out_h);
    for (int row_vectors = 1; row_vectors <= most; ++row_vectors) {
      // Wider than every segment the layer has, or too narrow for one column.
      if (row_vectors * lanes <= span) continue;
      if (row_vectors > 1 && (row_vectors - 1) * lanes >= columns) break;
      for (int rows = 1; rows * row_vectors <= most && rows <= shape_.out_h; ++rows) {
        TryGeometry(/*flat=*/false, rows, row_vectors);
      }
    }
    const int64_t pixels = static_cast<int64_t>(shape_.batch) * shape_.out_h * shape_.out_w;
    for (int vectors = 1; vectors <= most; ++vectors) {
      if (vectors > 1 && (vectors - 1) * lanes >= pixels) break;
      TryGeometry(/*flat=*/true, vectors, 1);
    }
    return best_;
  }

 private:
  // A SubsetTable worth trying.
  struct Choice {
    int group, limit;
    Histogram histogram;

    bool Splits() const {
      double split = 0;
      for (int k = limit + 1; k <= group; ++k) split += histogram[k];
      return split > 0;
    }
  };

  void FindChoices(const MaskSample& sample, int group) {
    for (int g = group > 0 ? group : 1; g <= (group > 0 ? group : kMaxGroup); ++g) {
      if (g > shape_.in_c && g > 1 && group == 0) break;
      const Histogram histogram = sample.OfGroups(g);
      const int promised = PatternLimit(*estimator_.problem.filters, g);
      if (g <= 8) choices_.push_back({g, g, histogram});
      for (int limit = 2; limit <= 3 && limit < g; ++limit) {
        if (g >= 5 && (limit == 2 || g <= 8 || limit == promised)) {
          choices_.push_back({g, limit, histogram});
        }
      }
    }
  }

  void TryGeometry(bool flat, int rows, int row_vectors) {
    TableConfig config;
    config.bytes = estimator_.bytes;
    config.flat = flat;
    config.rows = rows;
    config.row_vectors = row_vectors;
    const Geometry geometry = config.MakeGeometry(shape_, estimator_.vector_lanes);
    for (const Choice& choice : choices_) {
      config.stream.group = choice.group;
      config.stream.limit = choice.limit;
      for (const bool skip_zeros : {false, true}) {
        // Split subsets make lengths vary as well: only worth it where zeros are skipped too.
        if (!skip_zeros && choice.Splits()) continue;
        config.stream.skip_zeros = skip_zeros;
        TryChunks(geometry, choice.histogram, &config);
      }
    }
  }

  void TryChunks(const Geometry& geometry, const Histogram& histogram, TableConfig* config) {
    const size_t group_bytes = estimator_.GroupBytes(geometry, config->stream);
    const int groups = estimator_.GroupCount(config->stream.group);
    const auto level1 = static_cast<size_t>(estimator_.cost.level1_bytes);
    const auto near = static_cast<size_t>(estimator_.cost.near_bytes);
    const auto try_chunk = [&](int chunk_groups) {
      config->stream.chunk_groups = chunk_groups;
      if (!estimator_.Possible(geometry, config->stream)) return;
      const double cost =
          estimator_.cost.Of(estimator_.WorkOf(geometry, config->stream, histogram));
      if (!best_.possible || cost < best_.cost_ns) best_ = {true, cost, *config};
    };
    int tried = 0;
    for (const size_t budget : {level1, near, 4 * near}) {
      const size_t fitting = std::min(budget, MaxChunkBytes(estimator_.bytes)) / group_bytes;
      const int most = std::clamp(static_cast<int>(fitting), 1, groups);
      if (most == tried) continue;
      tried = most;
      // As many passes with smaller tables: 32 groups in four times 8, not 9, 9, 9 and 5.
      const int balanced = CeilDiv(groups, CeilDiv(groups, most));
      if (balanced < most) try_chunk(balanced);
      try_chunk(most);
      // Lists of every group that need no filling.
      const int even = most / estimator_.list_multiple * estimator_.list_multiple;
      if (!config->stream.skip_zeros && even > 0 && even < most) try_chunk(even);
    }
  }

  const Estimator& estimator_;
  const ConvShape& shape_;
  std::vector<Choice> choices_;
  TablePlan best_;
};

}  // namespace

TablePlan PlanTable(const ConvProblem& problem, const TableOps& ops, const MaskSample& sample,
                    int group) {
  const Estimator words(problem, ops, /*byte_tables=*/false);
  TablePlan best = Search(words, sample, group).Run();
  if (problem.nonnegative) {
    const Estimator bytes(problem, ops, /*byte_tables=*/true);
    const TablePlan plan = Search(bytes, sample, group).Run();
    if (plan.possible && (!best.possible || plan.cost_ns < best.cost_ns)) best = plan;
  }
  return best;
}

}  // namespace table
}  // namespace tf_signbin
