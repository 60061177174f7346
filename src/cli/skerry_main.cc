#include "cli/program.h"

int main(int argc, char** argv) {
  return skerry::cli::run_program(argc, argv);
}
