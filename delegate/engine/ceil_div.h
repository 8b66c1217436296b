#ifndef TF_SIGNBIN_ENGINE_CEIL_DIV_H_
#define TF_SIGNBIN_ENGINE_CEIL_DIV_H_

namespace tf_signbin {

// a / b rounded up, of a >= 0 and b > 0.
constexpr int CeilDiv(int a, int b) { return (a + b - 1) / b; }

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_CEIL_DIV_H_
