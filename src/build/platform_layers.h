// PlatformLayers: the layers that are not the author's: base images, shims, this machine's registry configuration, local folders of packages.
//
// Each call reads what is there now (an image may have been rebuilt, a folder may have got a file) and makes the layer only if the layer
// store has none of that digest. Used by pipeline.cc; long work runs off the loop.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "blob/blob_store.h"
#include "build/layer_index.h"
#include "build/sandbox_client.h"
#include "build/stage_job.h"

namespace skerry {

// A file of the host that a client in the container finds at the same place: pip.conf, npmrc, Maven's settings.xml.
struct ClientFile {
  std::string host_path;
  std::string path;  // inside, absolute
};

struct PlatformSettings {
  std::string images_dir;
  std::string shims_dir;
  std::string java_library;  // becomes part of Java's shim
  std::string ca_bundle;
  std::string local_ca_pem;  // of this gateway; "" for none
  std::vector<ClientFile> client_files;
  std::vector<std::string> sources;  // local folders, each with python/, node/, go/, java/ as far as it has them
};

inline constexpr const char* kCaPath = "/skerry/build/ca.pem";
inline constexpr const char* kLocalCaPath = "/skerry/trust/ca.pem";

class PlatformLayers {
 public:
  PlatformLayers(Loop& loop, BlobStore& blobs, LayerStore& layers, const LayerIndex& index, PlatformSettings settings)
      : loop_(loop), blobs_(blobs), layers_(layers), index_(index), settings_(std::move(settings)) {}

  // kUnavailable, with the command that makes it, when there is no such image yet.
  // `before_unpacking` is called when that is about to take its seconds.
  Task<Result<Digest>> image(std::string name, std::function<void()> before_unpacking = {});
  // Mounted at /skerry/shim/<name>.
  Task<Result<Digest>> shim(std::string name);
  // Mounted above a base image: its own stores of certificate authorities, with this gateway's in them, so that functions call each other by their public URLs.
  // Nothing is set in the environment for it: a bundle named there costs a start tens of milliseconds.
  Task<Result<Digest>> trust(std::string image_name);
  // The same of any root by its digest and archive; none where it has no store in a known place and form. kNotFound: not known from before, and `archive` is none.
  Task<Result<std::optional<Digest>>> trust_in(Digest root, UniqueFd archive);
  // CA bundle and client files.
  Task<Result<Digest>> machine();

  struct Sources {
    std::vector<Digest> layers;
    std::vector<std::string> paths;  // inside, in the order to be asked
  };
  Task<Result<Sources>> sources(std::string language);

  // Makes the layer of a blob that can be made again, then drops the blob.
  Task<Result<Digest>> unpack_and_drop(StageResult blob, std::string subfolder, uint64_t max_bytes, uint32_t max_files);

 private:
  Result<std::string> image_tar(const std::string& name, Digest& digest) const;
  Task<Result<Digest>> folder_layer(std::string folder, std::string subfolder);
  Task<Result<Digest>> text_layer(std::string tar, std::string subfolder);

  Loop& loop_;
  BlobStore& blobs_;
  LayerStore& layers_;
  const LayerIndex& index_;
  PlatformSettings settings_;
};

}  // namespace skerry
