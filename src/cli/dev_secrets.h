// DevSecrets: gives the values of `.env` to a local session's gateway as secrets, by the rules of production:
// a function that lists secrets gets those, one that lists none gets all.
#pragma once

#include <string>

#include "cli/dev_dotenv.h"
#include "cli/project.h"
#include "cli/session.h"

namespace skerry::cli {

// Which values the function gets and which it lacks. Pure.
struct SecretChoice {
  DotEnv values;
  std::vector<std::string> missing;   // listed, and without a value
  std::vector<std::string> warnings;  // values that no function can have
};
[[nodiscard]] SecretChoice choose_secrets(const manifest::Manifest& manifest, const DotEnv& dotenv);

class DevSecrets {
 public:
  // Reads the folder's files and sets what is new or changed, removes what is gone. A listed secret that has
  // no value is refused by name.
  Outcome<> bring(Session& session, const Project& project);

 private:
  DotEnv set_;          // at the gateway
  std::string warned_;  // said last: not again at every change
};

}  // namespace skerry::cli
