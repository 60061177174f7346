"""Java functions that begin as spares: what they are told later is there as if it had been from the start."""
import json

import pytest

FUNCTION = '''package functions;

import com.sun.net.httpserver.HttpExchange;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

public class Function {
    static String child() throws Exception {
        Process process = new ProcessBuilder("sh", "-c", "echo $GREETING:$DATABASE:$(pwd)").start();
        return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).trim();
    }

    public void handle(HttpExchange exchange) throws Exception {
        boolean archive = Files.readString(Path.of("/proc/self/maps")).contains("/skerry-java/shim.jsa");
        String text = String.join("\\n", System.getenv("GREETING"), System.getenv("DATABASE"), String.valueOf(System.getenv("SKERRY_ASSIGNMENT_FD")), child(),
                new File("here").getAbsolutePath(), String.valueOf(new File("classes").isDirectory()), String.valueOf(archive),
                String.valueOf(ClassLoader.getSystemResource("functions/Function.class") != null), System.getProperty("java.specification.version"), System.getenv("HOSTNAME"),
                Files.readString(Path.of("/etc/hostname")).trim());
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
    }
}
'''


@pytest.mark.parametrize("version", ["17", "21"])
def test_a_java_spare_becomes_the_function_with_all_that_it_was_not_started_with(skerry, version):
    name = f"spare-java-{version}"
    skerry.cli("init", "--lang", "java", name, cwd=skerry.folder)
    folder = skerry.folder / name
    (folder / "src/main/java/functions/Function.java").write_text(FUNCTION)
    (folder / "func.toml").write_text(f'[edge_compute]\nfunc_name = "{name}"\n[env_vars]\nGREETING = "hello"\n[[secrets]]\nbinding = "DATABASE"\nname = "DATABASE"\n'
                                      f'[runtime]\nversion = "{version}"\nidle_timeout = "0s"\n')
    skerry.cli("secrets", "set", "DATABASE", input="a secret")
    result = skerry.cli("ship", name, "--json", cwd=skerry.folder, check=False)
    if result.returncode == 6 and "does not answer" in result.stderr:
        pytest.skip("no registry answers here")
    assert result.returncode == 0, (result.stdout, result.stderr, skerry.log())
    url = json.loads(result.stdout.splitlines()[-1])["url"]

    answers = []

    def from_a_spare():
        answers.append(skerry.call(url))
        assert answers[-1].status == 200, answers[-1]
        return 'desc="prestart"' in answers[-1].headers.get("server-timing", "")

    skerry.wait(from_a_spare, "no start from a spare", 30)
    answer = answers[-1]
    lines = answer.text.split("\n")
    assert lines[:9] == ["hello", "a secret", "null", "hello:a secret:/app", "/app/here", "true", "true", "true", version]
    assert lines[9] == lines[10]
