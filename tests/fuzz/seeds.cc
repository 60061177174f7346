// fuzz_seeds DIR: writes each target's seeds and kept corpus as files to DIR/<target>/, for the fuzzers to begin with, and prints the targets' names.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "targets.h"

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: fuzz_seeds DIR\n"), 2;
  for (const skerry::fuzz::Target& target : skerry::fuzz::targets()) {
    const std::filesystem::path folder = std::filesystem::path(argv[1]) / target.name;
    std::filesystem::create_directories(folder);
    std::vector<std::string> inputs = target.seeds();
    for (std::string& kept : skerry::fuzz::kept_corpus(target.name)) inputs.push_back(std::move(kept));
    for (size_t i = 0; i < inputs.size(); ++i) {
      std::ofstream file(folder / ("seed-" + std::to_string(i)), std::ios::binary);
      file.write(inputs[i].data(), static_cast<std::streamsize>(inputs[i].size()));
      if (!file.flush()) return std::perror("fuzz_seeds"), 1;
    }
    std::printf("%s\n", std::string(target.name).c_str());
  }
  return 0;
}
