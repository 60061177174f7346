"""In every language, in a real container, under its limits: what ordinary programs do works. The functions are in functions/."""
import json
import pathlib
import shutil
import subprocess

import pytest

FUNCTIONS = pathlib.Path(__file__).parent / "functions"
ORDINARY = {"threads", "subprocesses", "temporary_files", "tls", "maps", "signals"}
LANGUAGES = {"python": ORDINARY | {"sqlite"}, "node": ORDINARY, "go": ORDINARY, "java": ORDINARY}  # sqlite where the language brings it


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of nobody's authority, for `localhost`."""
    folder = tmp_path_factory.mktemp("certificate")
    for command in (["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                     "-keyout", "key.pem", "-out", "cert.pem"],
                    ["pkcs12", "-export", "-name", "test", "-inkey", "key.pem", "-in", "cert.pem", "-passout", "pass:changeit", "-out", "keys.p12"]):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True, timeout=30)
    return folder


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_programs_do_works(skerry, certificate, tmp_path, language):
    source = tmp_path / "source"
    shutil.copytree(FUNCTIONS / language, source)
    beside = source / "src/main/resources" if language == "java" else source  # what a jar has
    beside.mkdir(exist_ok=True)
    for name in ("key.pem", "cert.pem", "keys.p12"):
        shutil.copy(certificate / name, beside)
    result = skerry.ship(source, **{"func.toml": f'[edge_compute]\nfunc_name = "ordinary-{language}"\n[runtime]\nmemory = "256MB"\n'})
    if result.returncode == 6 and "does not answer" in result.stdout + result.stderr:
        pytest.skip("no registry answers here")
    assert result.returncode == 0, result.stdout + result.stderr
    answer = skerry.call(skerry.get(f"ordinary-{language}")["url"])
    assert answer.status == 200, answer.text
    assert json.loads(answer.text) == dict.fromkeys(LANGUAGES[language], "ok")
