#include "json/json.h"

namespace skerry::json {

Result<value> parse(std::string_view text) {
  boost::json::parse_options options;
  options.max_depth = kMaxDepth;
  boost::system::error_code ec;
  boost::json::stream_parser parser({}, options);
  const size_t used = parser.write(text.data(), text.size(), ec);
  if (!ec) parser.finish(ec);
  if (ec) return fail(ErrorCode::kInvalidArgument, "not JSON: {} near byte {}", ec.message(), used);
  return parser.release();
}

ObjectReader::ObjectReader(const value& v, std::string where) : object_(v.if_object()), where_(std::move(where)) {
  if (object_ == nullptr) error_ = fmt::format("`{}` must be an object", where_);
}

const value* ObjectReader::find(std::string_view key) {
  asked_.emplace(key);
  if (object_ == nullptr) return nullptr;
  const value* v = object_->if_contains(key);
  return v == nullptr || v->is_null() ? nullptr : v;
}

bool ObjectReader::has(std::string_view key) const { return object_ != nullptr && object_->contains(key); }

void ObjectReader::refuse(std::string_view key, std::string_view why) {
  if (error_.empty()) error_ = where_.empty() ? fmt::format("`{}` {}", key, why) : fmt::format("`{}.{}` {}", where_, key, why);
}

std::string ObjectReader::string(std::string_view key, size_t max_bytes, std::string absent) {
  const value* v = find(key);
  if (v == nullptr) return absent;
  if (!v->is_string()) return refuse(key, "must be a string"), absent;
  if (v->get_string().size() > max_bytes) return refuse(key, fmt::format("is longer than {} bytes", max_bytes)), absent;
  return std::string(v->get_string());
}

int64_t ObjectReader::integer(std::string_view key, int64_t min, int64_t max, int64_t absent) {
  const value* v = find(key);
  if (v == nullptr) return absent;
  int64_t number = 0;
  if (v->is_int64()) number = v->get_int64();
  else if (v->is_uint64() && v->get_uint64() <= INT64_MAX) number = static_cast<int64_t>(v->get_uint64());
  else return refuse(key, "must be a whole number"), absent;
  if (number < min || number > max) return refuse(key, fmt::format("is {}, must be from {} to {}", number, min, max)), absent;
  return number;
}

bool ObjectReader::boolean(std::string_view key, bool absent) {
  const value* v = find(key);
  if (v == nullptr) return absent;
  if (!v->is_bool()) return refuse(key, "must be true or false"), absent;
  return v->get_bool();
}

std::vector<std::string> ObjectReader::strings(std::string_view key, size_t max_count, size_t max_bytes) {
  std::vector<std::string> out;
  const array* items = list(key, max_count);
  if (items == nullptr) return out;
  for (const value& item : *items) {
    if (!item.is_string() || item.get_string().size() > max_bytes) {
      refuse(key, fmt::format("must be a list of strings of at most {} bytes", max_bytes));
      return {};
    }
    out.emplace_back(item.get_string());
  }
  return out;
}

const object* ObjectReader::child(std::string_view key) {
  const value* v = find(key);
  if (v == nullptr) return nullptr;
  if (!v->is_object()) return refuse(key, "must be an object"), nullptr;
  return &v->get_object();
}

const array* ObjectReader::list(std::string_view key, size_t max_count) {
  const value* v = find(key);
  if (v == nullptr) return nullptr;
  if (!v->is_array()) return refuse(key, "must be a list"), nullptr;
  if (v->get_array().size() > max_count) return refuse(key, fmt::format("has more than {} items", max_count)), nullptr;
  return &v->get_array();
}

const value* ObjectReader::any(std::string_view key) { return find(key); }

Result<void> ObjectReader::finish() {
  if (error_.empty() && object_ != nullptr) {
    for (const auto& field : *object_) {
      if (!asked_.contains(std::string_view(field.key()))) {
        refuse(field.key(), "is not a known field");
        break;
      }
    }
  }
  if (!error_.empty()) return fail(ErrorCode::kInvalidArgument, "{}", error_);
  return {};
}

}  // namespace skerry::json
