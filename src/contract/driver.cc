#include "contract/driver.h"

namespace skerry {

std::string_view to_string(StartMode mode) {
  switch (mode) {
    case StartMode::kWarm: return "warm";
    case StartMode::kThaw: return "thaw";
    case StartMode::kWake: return "wake";
    case StartMode::kFork: return "fork";
    case StartMode::kPrestart: return "prestart";
    case StartMode::kBoot: return "boot";
  }
  return "boot";
}

}  // namespace skerry
