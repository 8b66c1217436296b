// Writes a first corpus: write_seeds FOLDER COUNT
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "fuzz/seeds.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: write_seeds FOLDER COUNT\n");
    return 2;
  }
  for (int seed = 0; seed < std::atoi(argv[2]); ++seed) {
    const auto bytes = tf_signbin::WriteCase(tf_signbin::SeedCase(seed));
    std::ofstream file(std::string(argv[1]) + "/seed" + std::to_string(seed), std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<int>(bytes.size()));
    if (!file.flush()) {
      std::fprintf(stderr, "cannot write to %s\n", argv[1]);
      return 1;
    }
  }
  return 0;
}
