// An OpCase as a model in a fake runtime.
#ifndef TF_SIGNBIN_FUZZ_CASE_MODEL_H_
#define TF_SIGNBIN_FUZZ_CASE_MODEL_H_

#include <cstdint>
#include <vector>

#include "fuzz/op_case.h"
#include "tests/fake_runtime.h"

namespace tf_signbin {

// The tensors and the node of a case, which must outlive it.
class CaseModel {
 public:
  explicit CaseModel(const OpCase& op_case);

  // Gives the activation memory and fills it; false for a shape that a runtime does not get to.
  bool SetInput();
  // SetInput, Prepare, Invoke and Output; false when one of them fails or nothing was delegated.
  bool Run(std::vector<uint8_t>* result);
  std::vector<uint8_t> Output();

  FakeRuntime runtime;

 private:
  void Fill(abi::TfLiteTensor* tensor);

  const OpCase& case_;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_FUZZ_CASE_MODEL_H_
