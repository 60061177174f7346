"""The build's stage `deps`: reads a tar with pyproject.toml or requirements.txt from standard input, installs what they name, and writes a tar of the
packages to standard output. Runs in the Python build image as fn. The project itself is never built (CONTRACT section 2)."""
import io
import os
import subprocess
import sys
import tarfile
import tomllib

TIMEOUT_S = "8"  # a registry that does not answer is named within 20 s
RETRIES = "1"


def fail(message):
    print(message, file=sys.stderr)
    sys.exit(1)


def read_input():
    files = {}
    with tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())) as archive:
        for member in archive:
            if member.isfile():
                files[member.name] = archive.extractfile(member).read().decode("utf-8", "replace")
    return files


def requirements(files):
    """[project].dependencies wins; without the key, requirements.txt."""
    if "pyproject.toml" in files:
        try:
            project = tomllib.loads(files["pyproject.toml"]).get("project", {})
        except tomllib.TOMLDecodeError as error:
            fail(f"pyproject.toml: {error}")
        if "dependencies" in project:
            names = project["dependencies"]
            if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
                fail("pyproject.toml: [project] dependencies must be a list of strings")
            return names, []
    lines = [line.split(" #")[0].strip() for line in files.get("requirements.txt", "").splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "-"))], [line for line in lines if line.startswith("-")]


def main():
    names, options = requirements(read_input())
    target = "/tmp/packages"
    os.mkdir(target)
    if names:
        listed = "/tmp/requirements.txt"
        with open(listed, "w") as file:
            file.write("\n".join(options + names) + "\n")
        command = [sys.executable, "-m", "pip", "install", "--target", target, "--no-input", "--disable-pip-version-check", "--no-warn-script-location",
                   "--no-cache-dir", "--progress-bar", "off", "--timeout", TIMEOUT_S, "--retries", RETRIES, "-r", listed]
        result = subprocess.run(command, stdout=sys.stderr, stdin=subprocess.DEVNULL)
        if result.returncode != 0:
            fail(f"pip could not install {', '.join(names)[:500]}")
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        for name in sorted(os.listdir(target)):
            archive.add(os.path.join(target, name), arcname=name)


main()
