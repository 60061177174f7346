"""Inside each image, as the unprivileged user: verified TLS, names, local time, shared libraries, and the build tools."""
import pathlib
import shutil
import subprocess

import pytest

PROBES = pathlib.Path(__file__).resolve().parent / "probes"
UTC = "2024-07-01 00:00 UTC"
BERLIN = "2024-07-01 02:00 CEST"
EASTERN = "2024-06-30 20:00 EDT"
GO = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOPATH": "/tmp/go"}
MOZILLA_AUTHORITIES = 100  # the set has about 140; far fewer means a broken bundle


def hand_over(network, root) -> str:
    """Puts the test's CA where the program can read it."""
    root.put(network.ca, "/tmp/ca.pem", 0o644)
    return "/tmp/ca.pem"


def copy_between(source, path: str, target, destination: str) -> None:
    target.put(source.path / path.lstrip("/"), destination)


def workplace(root, name: str) -> pathlib.Path:
    """A folder in /tmp that fn may write to."""
    path = root.path / "tmp" / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o777)
    path.chmod(0o777)
    return path


def own_cache(root, name: str) -> str:
    """A copy of the image's Go cache: Go deletes entries of long ago that a build did not use, and roots are shared between tests."""
    subprocess.run(["cp", "-a", root.path / "var/cache/go-build", root.path / "tmp" / name / "cache"], check=True, timeout=60)
    return f"/tmp/{name}/cache"


@pytest.mark.parametrize("image", ["python", "python313"])
def test_python_functions_find_what_they_need(image, roots, network):
    root = roots(image)
    ca = hand_over(network, root)
    root.put(PROBES / "probe.py", "/tmp/probe.py")
    seen = root.probe("python3", "/tmp/probe.py", str(network.ports["good"]), str(network.ports["bad"]), env={"SSL_CERT_FILE": ca}, network=network)
    assert seen["tls"] == "hello over tls"
    assert seen["untrusted"].startswith("refused: ") and "issuer" in seen["untrusted"]
    assert seen["other_name"].startswith("refused: IP address mismatch")
    assert (seen["v4"], seen["v6"]) == ("127.0.0.1", "::1")
    assert (seen["utc"], seen["berlin"], seen["eastern"]) == (UTC, BERLIN, EASTERN)
    assert seen["library"] is True
    assert seen["missing_modules"] == []
    assert seen["bytecode_flags"] == 1, "bytecode must be hash-based and unchecked, or file times decide whether it is used"
    assert seen["shell"] == "42"


@pytest.mark.parametrize("image", ["python", "python313"])
def test_openssl_trusts_the_hashed_folder_by_default(image, roots, network):
    """With nothing in the environment: an authority placed in the image's folder is trusted, one that is not there is refused."""
    root = roots(image)
    bundle = (root.path / "etc/ssl/certs/ca-certificates.crt").read_text().count("BEGIN CERTIFICATE")
    links = [path for path in (root.path / "etc/ssl/certs").iterdir() if path.is_symlink()]
    assert bundle > MOZILLA_AUTHORITIES and len(links) >= bundle and all(path.exists() for path in links)
    fetch = f"import urllib.request; print(urllib.request.urlopen('https://localhost:{network.ports['good']}/', timeout=20).read().decode())"
    with pytest.raises(AssertionError, match="CERTIFICATE_VERIFY_FAILED"):
        root.run("python3", "-c", fetch, network=network)
    name = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", network.ca], check=True, capture_output=True, text=True).stdout.strip()
    root.put(network.ca, f"/etc/ssl/certs/{name}.0", 0o644)
    assert root.run("python3", "-c", fetch, network=network).strip() == "hello over tls"
    (root.path / f"etc/ssl/certs/{name}.0").unlink()


@pytest.mark.parametrize(("image", "builder"), [("python", "python-build"), ("python313", "python313-build")])
def test_python_wheels_without_a_binary_build_and_run(image, builder, roots):
    build, run = roots(builder), roots(image)
    project = workplace(build, "wheel")
    for path in (PROBES / "wheel").iterdir():
        shutil.copy(path, project)
    build.run("python3", "-m", "pip", "install", "--no-index", "--no-build-isolation", "--no-deps", "--target", "/tmp/wheel/out", ".", cwd="/tmp/wheel")
    run.put(build.path / "tmp/wheel/out", "/tmp/site")
    assert run.run("python3", "-c", "import skerry_probe; print(skerry_probe.answer())", env={"PYTHONPATH": "/tmp/site"}).strip() == "42"


@pytest.mark.parametrize("builder", ["python-build", "python313-build"])
def test_python_builders_make_virtual_environments(builder, roots):
    root = roots(builder)
    workplace(root, "venv")
    root.run("python3", "-m", "venv", "/tmp/venv/env")
    assert root.run("/tmp/venv/env/bin/pip", "--version").startswith("pip ")


def test_node_functions_find_what_they_need(roots, network):
    build, root = roots("node-build"), roots("node")
    workplace(build, "addon")
    build.put(PROBES / "addon.c", "/tmp/addon/addon.c")
    build.run("gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-I/usr/include/node", "-o", "/tmp/addon/addon.node", "/tmp/addon/addon.c")
    copy_between(build, "/tmp/addon/addon.node", root, "/tmp/addon.node")
    ca = hand_over(network, root)
    root.put(PROBES / "probe.mjs", "/tmp/probe.mjs")
    seen = root.probe("node", "/tmp/probe.mjs", str(network.ports["good"]), str(network.ports["bad"]), "/tmp/addon.node",
                      env={"NODE_EXTRA_CA_CERTS": ca}, network=network)
    assert seen["tls"] == seen["fetch"] == "hello over tls"
    assert seen["untrusted"] == "refused: UNABLE_TO_VERIFY_LEAF_SIGNATURE"
    assert seen["other_name"] == "refused: ERR_TLS_CERT_ALTNAME_INVALID"
    assert (seen["v4"], seen["v6"]) == ("127.0.0.1", "::1")
    assert seen["utc"] == "Mon Jul 01 2024 00:00:00 GMT+0000 (Coordinated Universal Time)"
    assert seen["berlin"] == "Mon Jul 01 2024 02:00:00 GMT+0200 (Central European Summer Time)"
    assert seen["eastern"].startswith("Sun Jun 30 2024 20:00:00 GMT-0400")
    assert seen["library"] is True and seen["addon"] == 42
    assert seen["roots"] > MOZILLA_AUTHORITIES


def test_node_builder_runs_npm_scripts_and_node_gyp_finds_headers(roots):
    root = roots("node-build")
    project = workplace(root, "project")
    (project / "package.json").write_text('{"name": "probe", "version": "1.0.0", "scripts": {"build": "node-gyp configure build && node -p \\"require(\'./build/Release/addon.node\').answer()\\""}}')
    (project / "binding.gyp").write_text('{"targets": [{"target_name": "addon", "sources": ["addon.c"]}]}')
    shutil.copy(PROBES / "addon.c", project)
    output = root.run("npm", "run", "build", cwd="/tmp/project", env={"HOME": "/tmp/project"})
    assert output.strip().splitlines()[-1] == "42"


@pytest.mark.parametrize(("image", "builder"), [("java", "java-build"), ("java21", "java21-build")])
def test_java_functions_find_what_they_need(image, builder, roots, network):
    build, root = roots(builder), roots(image)
    workplace(build, "probe")
    build.put(PROBES / "Probe.java", "/tmp/probe/Probe.java")
    build.run("javac", "-Xlint:all", "-d", "/tmp/probe", "/tmp/probe/Probe.java")
    copy_between(build, "/tmp/probe/Probe.class", root, "/tmp/Probe.class")
    ca = hand_over(network, root)
    library = next((root.path / "usr/lib").glob("*/libz.so.1"))
    (root.path / "tmp/trust.p12").unlink(missing_ok=True)
    root.run("keytool", "-importcert", "-noprompt", "-alias", "test", "-file", ca, "-keystore", "/tmp/trust.p12", "-storetype", "PKCS12", "-storepass", "changeit")
    ports = [str(network.ports["good"]), str(network.ports["bad"])]
    seen = root.probe("java", "-Xshare:on", "-Djavax.net.ssl.trustStore=/tmp/trust.p12", "-Djavax.net.ssl.trustStorePassword=changeit", "-cp", "/tmp",
                      "Probe", *ports, "/" + str(library.relative_to(root.path)), env={"TZ": "Europe/Berlin"}, network=network)
    assert seen["tls"] == "hello over tls"
    assert seen["untrusted"].startswith("refused: ") and "PKIX path" in seen["untrusted"]
    assert seen["other_name"].startswith("refused: ") and "127.0.0.1" in seen["other_name"]
    assert (seen["v4"], seen["v6"]) == ("127.0.0.1", "0:0:0:0:0:0:0:1")
    assert (seen["utc"], seen["berlin"], seen["system_zone"]) == (UTC, BERLIN, BERLIN)
    assert seen["library"] is True and seen["ink"] > 50
    assert seen["authorities"] == 1


@pytest.mark.parametrize("image", ["java", "java21", "java-build", "java21-build"])
def test_java_trusts_the_bundle_and_uses_its_class_archive(image, roots):
    root = roots(image)
    bundle = (root.path / "etc/ssl/certs/ca-certificates.crt").read_text().count("BEGIN CERTIFICATE")
    listed = root.run("keytool", "-list", "-cacerts", "-storepass", "changeit")
    assert listed.count("trustedCertEntry") == bundle > MOZILLA_AUTHORITIES
    for options in ([], ["-XX:+UseSerialGC"], ["-XX:-UseCompressedOops"]):
        root.run("java", "-Xshare:on", *options, "-version")  # "on": fails where the archive cannot be used


@pytest.mark.parametrize(("builder", "major"), [("java-build", "17"), ("java21-build", "21")])
def test_java_builders_have_maven(builder, major, roots):
    output = roots(builder).run("mvn", "--version")
    assert output.lstrip("\x1b[1m").startswith("Apache Maven 3.")
    assert f"Java version: {major}." in output


def test_go_functions_find_what_they_need(roots, network):
    build, root = roots("go-build"), roots("go")
    project = workplace(build, "probe")
    for path in (PROBES / "go").iterdir():
        shutil.copy(path, project)
    build.run("go", "build", "-trimpath", "-o", "/tmp/probe/probe", ".", cwd="/tmp/probe", env=GO | {"GOCACHE": own_cache(build, "probe")})
    copy_between(build, "/tmp/probe/probe", root, "/app/probe")
    headers = subprocess.run(["readelf", "--program-headers", root.path / "app/probe"], check=True, capture_output=True, text=True).stdout
    assert "INTERP" not in headers, "a Go function is a static program: its image has no loader"
    ca = hand_over(network, root)
    seen = root.probe("/app/probe", str(network.ports["good"]), str(network.ports["bad"]), env={"SSL_CERT_FILE": ca, "TZ": "Europe/Berlin"}, network=network)
    assert seen == {"tls": "hello over tls", "untrusted": "refused: unknown authority", "other_name": "refused: other name", "v4": "127.0.0.1", "v6": "::1",
                    "utc": UTC, "berlin": BERLIN, "eastern": EASTERN, "zone": "Europe/Berlin", "user": "fn", "https": 443}


def test_go_builder_has_a_warm_standard_library(roots):
    """With the cache of the image as the only one, net/http and its dependencies are not compiled again, nor what the shim's generator needs."""
    root = roots("go-build")
    project = workplace(root, "warm")
    (project / "go.mod").write_text("module warm\n\ngo 1.24\n")
    (project / "main.go").write_text('package main\n\nimport (\n\t"encoding/json"\n\t"go/parser"\n\t"log/slog"\n\t"net/http"\n)\n\nfunc main() { slog.Info("x", "e", json.Valid(nil), "h", http.StatusOK, "p", parser.AllErrors) }\n')
    commands = root.run("sh", "-c", "go build -trimpath -x -o /dev/null . 2>&1", cwd="/tmp/warm",
                        env=GO | {"GOCACHE": own_cache(root, "warm")})
    compiled = [line for line in commands.splitlines() if "/compile " in line]
    assert len(compiled) == 1 and "-p main" in compiled[0]
