// Cases that run: the fuzzer's first corpus.
#ifndef TF_SIGNBIN_FUZZ_SEEDS_H_
#define TF_SIGNBIN_FUZZ_SEEDS_H_

#include "fuzz/op_case.h"

namespace tf_signbin {

// A small valid operator of random form; the same for the same seed.
OpCase SeedCase(uint64_t seed);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_FUZZ_SEEDS_H_
