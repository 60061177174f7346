#include "build/platform_layers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build/archive.h"
#include "build/offload.h"
#include "crypto/encoding.h"
#include "crypto/hash.h"
#include "json/json.h"
#include "net/trust_files.h"
#include "os/file.h"

namespace skerry {
namespace {

constexpr size_t kMaxCurrentBytes = 64U << 10;
constexpr ArchiveBounds kImageBounds{4ULL << 30, 500'000};
constexpr ArchiveBounds kTextBounds{256U << 20, 10'000};
constexpr ArchiveBounds kSourceBounds{4ULL << 30, 200'000};
const std::set<std::string> kNotInContainers = {"tests", "__pycache__", "node_modules", "README.md"};
constexpr size_t kMaxCaBytes = 8U << 20;
constexpr size_t kMaxClientFileBytes = 1U << 20;
constexpr size_t kMaxLibraryBytes = 4U << 20;
constexpr size_t kCopyBytes = 256U << 10;

struct ImageDescription {
  Digest digest;
  std::string recipe;
};

Result<ImageDescription> parse_current(std::string_view text, const std::string& folder) {
  TRY_ASSIGN(const json::value parsed, json::parse(text), folder);
  const json::object* object = parsed.if_object();
  const json::value* recipe = object != nullptr ? object->if_contains("recipe") : nullptr;
  const json::value* sum = object != nullptr ? object->if_contains("sha256") : nullptr;
  if (recipe == nullptr || sum == nullptr || !recipe->is_string() || !sum->is_string()) return fail(ErrorCode::kCorrupt, "{}/current is not an image's description", folder);
  ImageDescription image;
  std::string hex(sum->get_string());
  TRY_ASSIGN(image.digest, Digest::parse(hex.starts_with("sha256:") ? hex : "sha256:" + hex), folder);
  image.recipe = std::string(recipe->get_string());
  if (image.recipe.starts_with("sha256:")) image.recipe.erase(0, 7);
  if (image.recipe.find('/') != std::string::npos) return fail(ErrorCode::kCorrupt, "{}/current names a recipe outside of its folder", folder);
  return image;
}

constexpr std::string_view kBundlePath = "etc/ssl/certs/ca-certificates.crt", kJavaStorePath = "etc/ssl/certs/java/cacerts";

// A tar of what a base image has of these, with our own authority in each: OpenSSL (Python, Node.js) looks its name up in the folder, Go and curl read the bundle, Java
// its store.
// The bundle is there as a file, so its folder is one and not a link that a layer would hide.
Result<std::string> trust_files(const std::map<std::string, std::string>& image, const std::string& ca) {
  TarText tar;
  TRY_ASSIGN(const std::string name, hashed_certificate_name(ca));
  TRY(tar.add("etc/ssl/certs/" + name, ca));
  if (const auto bundle = image.find(std::string(kBundlePath)); bundle != image.end()) TRY(tar.add(bundle->first, bundle->second + ca));
  if (const auto store = image.find(std::string(kJavaStorePath)); store != image.end()) {
    // An author's image may have it in another form, which stays as it is.
    if (const auto with = java_trust_store_with(store->second, ca, "skerry:local")) TRY(tar.add(store->first, *with));
  }
  TRY(tar.add(std::string(kLocalCaPath).substr(1), ca));
  return tar.finish();
}

// In a thread: a tar of `files` below `folder`.
Result<StageResult> pack_folder(const std::string& folder, const std::vector<FolderFile>& files, BlobStore::Writer writer, const std::string& comment) {
  TRY(writer.write(tar_comment(comment)));
  const auto buffer = std::make_unique<char[]>(kCopyBytes);
  for (const FolderFile& file : files) {
    TRY_ASSIGN(const std::string header, tar_header(file.path, file.size, file.executable));
    TRY(writer.write(header));
    TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, folder + "/" + file.path, O_RDONLY | O_NOFOLLOW));
    for (uint64_t left = file.size; left > 0;) {
      const ssize_t n = ::read(fd.get(), buffer.get(), std::min<uint64_t>(left, kCopyBytes));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("read `{}/{}`", folder, file.path);
      if (n == 0) return fail(ErrorCode::kConflict, "`{}/{}` shrank while it was read", folder, file.path);
      TRY(writer.write({buffer.get(), static_cast<size_t>(n)}));
      left -= static_cast<uint64_t>(n);
    }
    TRY(writer.write(tar_padding(file.size)));
  }
  TRY(writer.write(tar_end()));
  return commit_open(writer);
}

}  // namespace

Result<std::string> PlatformLayers::image_tar(const std::string& name, Digest& digest) const {
  const std::string folder = settings_.images_dir + "/" + name;
  auto current = read_file(folder + "/current", kMaxCurrentBytes);
  if (!current) return fail(ErrorCode::kUnavailable, "the base image `{0}` is not there yet; `images/build --only {0}` makes it (`make up` makes all)", name);
  TRY_ASSIGN(const ImageDescription image, parse_current(*current, folder));
  digest = image.digest;
  return fmt::format("{}/{}.tar", folder, image.recipe);
}

Task<Result<Digest>> PlatformLayers::image(std::string name, std::function<void()> before_unpacking) {
  Digest digest;
  CO_TRY_ASSIGN(const std::string path, image_tar(name, digest));
  CO_TRY_ASSIGN(const bool there, co_await layers_.has(digest));
  if (there) co_return digest;
  CO_TRY_ASSIGN(const UniqueFd tar, open_at(AT_FDCWD, path, O_RDONLY));
  if (before_unpacking) before_unpacking();
  CO_TRY(co_await layers_.unpack(digest, tar.get(), "/", kImageBounds.bytes, kImageBounds.files), "base image " + name);
  co_return digest;
}

Task<Result<Digest>> PlatformLayers::trust(std::string image_name) {
  Digest image;
  CO_TRY_ASSIGN(const std::string path, image_tar(image_name, image));
  CO_TRY_ASSIGN(UniqueFd tar, open_at(AT_FDCWD, path, O_RDONLY));
  CO_TRY_ASSIGN(const std::optional<Digest> layer, co_await trust_in(image, std::move(tar)));
  if (!layer) co_return fail(ErrorCode::kCorrupt, "the base image `{}` has no bundle of certificate authorities", image_name);
  co_return *layer;
}

Task<Result<std::optional<Digest>>> PlatformLayers::trust_in(Digest root, UniqueFd archive) {
  const std::string key = KeyMaker("trust").add(root.str()).add(settings_.local_ca_pem).key();
  if (const auto known = index_.find(key)) {
    CO_TRY_ASSIGN(const bool there, co_await layers_.has(known->layer));
    if (there) co_return std::optional(known->layer);
    index_.forget(key);
  }
  if (!archive) co_return fail(ErrorCode::kNotFound, "the archive of {} is gone", root.str());
  CO_TRY_ASSIGN(const ArchiveListing listing, co_await off_loop<ArchiveListing>(loop_, [archive = std::move(archive)] {
                  return list_archive(archive.get(), [](std::string_view file) { return file == kBundlePath || file == kJavaStorePath; }, kImageBounds);
                }));
  if (!listing.contents.contains(std::string(kBundlePath))) co_return std::nullopt;
  CO_TRY_ASSIGN(std::string files, trust_files(listing.contents, settings_.local_ca_pem));
  CO_TRY_ASSIGN(const Digest layer, co_await text_layer(std::move(files), "/"));
  (void)index_.remember(key, {layer, ""});
  co_return std::optional(layer);
}

Task<Result<Digest>> PlatformLayers::unpack_and_drop(StageResult blob, std::string subfolder, uint64_t max_bytes, uint32_t max_files) {
  auto unpacked = co_await layers_.unpack(blob.digest, blob.archive.get(), std::move(subfolder), max_bytes, max_files);
  blobs_.remove(blob.digest);
  if (!unpacked) co_return pass(std::move(unpacked).error());
  co_return blob.digest;
}

Task<Result<Digest>> PlatformLayers::text_layer(std::string tar, std::string subfolder) {
  // The digest is known before anything is written: most often the layer is there.
  const std::string bytes = tar_comment(subfolder) + tar;
  const Digest digest = Digest::of_bytes(sha256(bytes));
  CO_TRY_ASSIGN(const bool there, co_await layers_.has(digest));
  if (there) co_return digest;
  CO_TRY_ASSIGN(BlobStore::Writer writer, blobs_.create(kTextBounds.bytes));
  CO_TRY(writer.write(bytes));
  CO_TRY_ASSIGN(StageResult written, commit_open(writer));
  co_return co_await unpack_and_drop(std::move(written), std::move(subfolder), kTextBounds.bytes, kTextBounds.files);
}

Task<Result<Digest>> PlatformLayers::shim(std::string name) {
  TarText tar;
  CO_TRY(tar.add_folder(settings_.shims_dir + "/" + name, kNotInContainers), "the shim of " + name);
  if (name == "java") {
    CO_TRY_ASSIGN(const std::string library, read_file(settings_.java_library, kMaxLibraryBytes), "the shim of java");
    CO_TRY(tar.add("skerry-java.so", library));
  }
  co_return co_await text_layer(tar.finish(), "/skerry/shim/" + name);
}

Task<Result<Digest>> PlatformLayers::machine() {
  TarText tar;
  auto bundle = read_file(settings_.ca_bundle, kMaxCaBytes);
  CO_TRY(tar.add(std::string(kCaPath).substr(1), bundle ? *bundle : ""));
  CO_TRY(tar.add_folder(settings_.shims_dir + "/build", kNotInContainers, "skerry/build/"), "the shims' common scripts");
  for (const ClientFile& file : settings_.client_files) {
    auto text = read_file(file.host_path, kMaxClientFileBytes);
    if (!text && text.error().code() == ErrorCode::kNotFound) continue;
    if (!text) co_return pass(std::move(text).error(), "a registry client's file named in the configuration");
    if (!file.path.starts_with('/')) co_return fail(ErrorCode::kInvalidArgument, "`{}`: the place of a client file is absolute", file.path);
    CO_TRY(tar.add(file.path.substr(1), *text));
  }
  co_return co_await text_layer(tar.finish(), "/");
}

Task<Result<Digest>> PlatformLayers::folder_layer(std::string folder, std::string subfolder) {
  CO_TRY_ASSIGN(std::vector<FolderFile> files,
                co_await off_loop<std::vector<FolderFile>>(loop_, [folder] { return list_folder(folder, {}, kSourceBounds); }));
  KeyMaker maker("source");
  maker.add(subfolder);
  for (const FolderFile& file : files) maker.add(file.path).add(fmt::format("{} {} {}", file.size, file.mtime_ns, file.executable));
  const std::string key = maker.key();
  if (const auto known = index_.find(key)) {
    CO_TRY_ASSIGN(const bool there, co_await layers_.has(known->layer));
    if (there) co_return known->layer;
    index_.forget(key);
  }
  CO_TRY_ASSIGN(BlobStore::Writer writer, blobs_.create(kSourceBounds.bytes * 2));
  CO_TRY_ASSIGN(StageResult blob, co_await off_loop<StageResult>(loop_, [folder, files = std::move(files), writer = std::move(writer), subfolder]() mutable {
                  return pack_folder(folder, files, std::move(writer), subfolder);
                }));
  CO_TRY_ASSIGN(const Digest layer, co_await unpack_and_drop(std::move(blob), subfolder, kSourceBounds.bytes, kSourceBounds.files));
  (void)index_.remember(key, {layer, folder.substr(0, LayerIndex::kMaxNoteBytes)});
  co_return layer;
}

Task<Result<PlatformLayers::Sources>> PlatformLayers::sources(std::string language) {
  Sources out;
  for (size_t i = 0; i < settings_.sources.size(); ++i) {
    const std::string folder = settings_.sources[i] + "/" + language;
    struct stat st {};
    if (::stat(folder.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) continue;
    std::string inside = fmt::format("/skerry/source/{}/{}", i, language);
    CO_TRY_ASSIGN(const Digest layer, co_await folder_layer(folder, inside), "dependency source " + folder);
    out.layers.push_back(layer);
    out.paths.push_back(std::move(inside));
  }
  co_return out;
}

}  // namespace skerry
