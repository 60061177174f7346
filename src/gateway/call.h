// Internal to gateway/: one API request.
#pragma once

#include <string>
#include <string_view>

#include "base/id.h"
#include "gateway/gateway.h"

namespace skerry {

struct Gateway::Call {
  explicit Call(Exchange& x) : exchange(x), id(new_ulid()) {
    const std::string_view target = x.head().target;
    const size_t question = target.find('?');
    path = target.substr(0, question);
    query = question == std::string_view::npos ? std::string_view() : target.substr(question + 1);
  }
  // The decoded value of a query parameter; "" when it is not there.
  [[nodiscard]] std::string parameter(std::string_view name) const;
  [[nodiscard]] std::string header_lines() const { return "x-request-id: " + id + "\r\n" + extra_headers; }

  Exchange& exchange;
  std::string id;
  std::string_view path;
  std::string_view query;
  std::string extra_headers;
  int status = 0;
};

}  // namespace skerry
