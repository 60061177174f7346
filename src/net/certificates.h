// The local certificate authority of a gateway, and the certificates that it issues. ECDSA P-256, PEM.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "net/tls.h"

namespace skerry {

// A self-signed CA, valid ten years. `name` becomes its common name.
Result<CertificatePair> make_certificate_authority(const std::string& name);
// A server certificate for `dns_names` (wildcards allowed) and `ip_addresses`, valid 397 days (the most that clients accept). The chain is leaf, CA.
Result<CertificatePair> issue_certificate(const CertificatePair& authority, const std::vector<std::string>& dns_names,
                                          const std::vector<std::string>& ip_addresses);
// Seconds from now until the first certificate in `pem` expires; negative when it has.
Result<int64_t> seconds_until_expiry(const std::string& pem);
// Whether the first certificate in `pem` covers `host`.
[[nodiscard]] bool certificate_covers(const std::string& pem, const std::string& host);

}  // namespace skerry
