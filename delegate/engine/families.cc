#include "engine/families.h"

#if defined(__x86_64__) || defined(__i386__)
#define TF_SIGNBIN_FAMILY_x86(id) &id,
#else
#define TF_SIGNBIN_FAMILY_x86(id)
#endif
#if defined(__aarch64__) || defined(__arm__)
#define TF_SIGNBIN_FAMILY_arm(id) &id,
#else
#define TF_SIGNBIN_FAMILY_arm(id)
#endif
#define TF_SIGNBIN_FAMILY_any(id) &id,

namespace tf_signbin {

const std::vector<const KernelFamily*>& KernelFamilies() {
  static const std::vector<const KernelFamily*> families = {
#define TF_SIGNBIN_FAMILY(processors, name, id) TF_SIGNBIN_FAMILY_##processors(id)
#include "engine/kernels/registry.bzl"
  };
  return families;
}

}  // namespace tf_signbin
