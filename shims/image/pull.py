"""What a build does with a reference. `resolve` writes a tar with the file `digest`: what the tag names now. `pull` takes that digest's image for this machine's architecture out of
the registry, every byte checked, and writes the tar that flatten.py makes of it. Standard input is one JSON object of the builder's (src/build/registry_settings.h)."""
import io
import json
import os
import pathlib
import sys
import tarfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import flatten  # noqa: E402
from registry import Refused, Registry  # noqa: E402

MAX_LAYER_BYTES = 1 << 30  # compressed, as a registry keeps it
MAX_IMAGE_BYTES = 3 << 29  # of all layers: they lie in the build's memory, beside what unpacks them
CONFIGURATIONS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")


def parsed(data, digest):
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Refused(f"the manifest {digest} is no JSON object")
    return value


def listed(manifest, key):
    found = manifest.get(key)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise Refused(f"the manifest has no list of {key}")
    return found


def is_for_this_machine(descriptor):
    where = descriptor.get("platform")
    return isinstance(where, dict) and (where.get("os"), where.get("architecture")) == ("linux", flatten.ARCHITECTURE)


def find_manifest(registry, digest, keep, depth=0):
    """The manifest of the image for this architecture, through indexes of indexes; each is kept as a blob."""
    data = registry.manifest(digest)
    keep(digest, data)
    manifest = parsed(data, digest)
    if "manifests" not in manifest:
        if manifest.get("schemaVersion") != 2 or "layers" not in manifest:
            raise Refused(f"the manifest {digest} is of an old kind that is not read here; push the image again with a newer tool")
        return manifest, {"digest": digest, "size": len(data)}
    if depth == flatten.MAX_INDEX_DEPTH:
        raise Refused(f"more than {flatten.MAX_INDEX_DEPTH} indexes in indexes")
    found = [item for item in listed(manifest, "manifests") if is_for_this_machine(item)]
    if not found:
        there = sorted({f"{(item.get('platform') or {}).get('os')}/{(item.get('platform') or {}).get('architecture')}" for item in manifest["manifests"]})
        raise Refused(f"there is no image for linux/{flatten.ARCHITECTURE}; there is {', '.join(there) or 'none at all'}"[:300])
    return find_manifest(registry, checked(found[0])[0], keep, depth + 1)


def checked(descriptor, limit=MAX_LAYER_BYTES, what="blob"):
    """(digest, size) of a descriptor. Its `urls` are never followed."""
    digest, size = flatten.checked_digest(descriptor), descriptor.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Refused(f"the {what} {digest} has no size")
    if size > limit:
        raise Refused(f"the {what} {digest} has {size} bytes; the limit is {limit >> 20} MB")
    return digest, size


def pull(registry, digest, layout):
    """Writes an OCI layout with the one image. Nothing is downloaded before all that is declared is within the limits."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def path(of):
        return blobs / of.partition(":")[2]

    manifest, described = find_manifest(registry, digest, lambda of, data: path(of).write_bytes(data))
    config = manifest.get("config")
    if not isinstance(config, dict) or config.get("mediaType") not in CONFIGURATIONS:
        raise Refused(f"`{registry.repository}` holds no container image: its configuration is of another kind")
    config = checked(config, flatten.MAX_JSON, "configuration")
    layers = [checked(item, what="layer") for item in listed(manifest, "layers")]
    if len(layers) > flatten.MAX_LAYERS:
        raise Refused(f"the image has {len(layers)} layers, more than {flatten.MAX_LAYERS}")
    layers = sorted(set(layers), key=layers.index)
    if sum(size for _, size in layers) > MAX_IMAGE_BYTES:
        raise Refused(f"the image's layers have {sum(size for _, size in layers)} bytes together; the limit is {MAX_IMAGE_BYTES >> 20} MB")
    registry.blob(*config, path(config[0]))
    for number, (of, size) in enumerate(layers, 1):
        print(f"layer {number} of {len(layers)}: {size / (1 << 20):.1f} MB", file=sys.stderr)
        registry.blob(of, size, path(of))
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))


def main(order):
    settings = json.load(sys.stdin)
    registry = Registry(settings)
    if order == "pull":
        pull(registry, settings["digest"], flatten.SCRATCH)
        return flatten.write_root(flatten.SCRATCH)
    digest = registry.resolve(settings["tag"]).encode()
    with os.fdopen(os.dup(1), "wb") as raw, tarfile.open(fileobj=raw, mode="w|") as out:
        entry = tarfile.TarInfo("digest")
        entry.size, entry.mode = len(digest), 0o644
        out.addfile(entry, io.BytesIO(digest))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Refused as error:
        flatten.fail(str(error))
    except flatten.UNREADABLE as error:
        flatten.fail_unreadable(error)
