"""Go and Java projects, from an upload to an answer."""
GO_MOD = "module example.com/project\n\ngo 1.24\n"
GO_HANDLE = '''package project

import (
	"fmt"
	"net/http"

	"github.com/google/uuid"
)

func Handle(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, "%s ", uuid.NewSHA1(uuid.NameSpaceDNS, []byte("x")).Version())
}
'''
GO_SUM = "github.com/google/uuid v1.6.0 h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=\ngithub.com/google/uuid v1.6.0/go.mod h1:TIyPZe4MgqvfeYDBFedMoGGpEw/LqOeaOT+nhxU+yHo=\n"


def test_go_modules_are_downloaded_and_compiled_once(builds):
    files = {"go.mod": GO_MOD + "\nrequire github.com/google/uuid v1.6.0\n", "go.sum": GO_SUM, "handle.go": GO_HANDLE.replace("%s ", "first ")}
    first = builds.events("go-deps", files)
    assert first.ok, first
    assert first.stages["deps"] == "done"
    assert "first" in builds.call(first.last["url"]).text
    again = builds.events("go-deps", {**files, "handle.go": GO_HANDLE.replace("%s ", "second ")})
    assert again.ok and again.stages["deps"] == "cached", again
    assert "second" in builds.call(again.last["url"]).text


def test_go_without_modules_needs_no_stage_deps(builds):
    events = builds.events("go-plain", {"go.mod": GO_MOD, "main.go": '''package main

import (
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("own server")) })
	http.ListenAndServe(":"+os.Getenv("PORT"), nil)
}
'''})
    assert events.ok and "deps" not in events.stages, events
    assert builds.call(events.last["url"]).text == "own server"


def test_go_names_what_does_not_compile(builds):
    events = builds.events("go-bad", {"go.mod": GO_MOD, "handle.go": 'package project\n\nimport "net/http"\n\nfunc Handle(w http.ResponseWriter, r *http.Request) { return 1 }\n'})
    assert not events.ok and events.error["details"]["stage"] == "build", events
    assert "handle.go:5" in events.log


def test_go_names_a_module_that_does_not_exist(builds):
    files = {"go.mod": GO_MOD + "\nrequire example.com/skerry-there-is-no-such-module v1.0.0\n", "handle.go": GO_HANDLE}
    events = builds.events("go-missing", files)
    assert not events.ok and events.error["details"]["stage"] == "deps", events
    assert "skerry-there-is-no-such-module" in events.log


POM = '''<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>project</artifactId><version>1</version>
  <properties><maven.compiler.source>17</maven.compiler.source><maven.compiler.target>17</maven.compiler.target><project.build.sourceEncoding>UTF-8</project.build.sourceEncoding></properties>
  <dependencies>{}</dependencies>
</project>
'''
JACKSON = "<dependency><groupId>com.fasterxml.jackson.core</groupId><artifactId>jackson-databind</artifactId><version>2.17.2</version></dependency>"
FUNCTION = '''package functions;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import java.util.Map;

public class Function {
  public void handle(HttpExchange exchange) throws Exception {
    byte[] body = new ObjectMapper().writeValueAsBytes(Map.of("said", "%s"));
    exchange.sendResponseHeaders(200, body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }
}
'''


def test_java_dependencies_are_resolved_once(builds):
    source = "src/main/java/functions/Function.java"
    files = {"pom.xml": POM.format(JACKSON), source: FUNCTION % "first"}
    first = builds.events("java-deps", files)
    assert first.ok, first
    assert first.stages["deps"] == "done"
    assert builds.call(first.last["url"]).text == '{"said":"first"}'
    again = builds.events("java-deps", {**files, source: FUNCTION % "second"})
    assert again.ok and again.stages["deps"] == "cached", again
    assert builds.call(again.last["url"]).text == '{"said":"second"}'


def test_java_names_what_does_not_compile_in_the_stage_build(builds):
    files = {"pom.xml": POM.format(""), "src/main/java/functions/Function.java": "package functions;\npublic class Function { int x = true; }\n"}
    events = builds.events("java-bad", files)
    assert not events.ok and events.error["details"]["stage"] == "build", events
    assert "Function.java" in events.log
