import json
import os

from fake_gateway import unpack


def shipped(gateway):
    return json.loads(gateway.sent("POST", "/v1/functions/ship")[-1]["body"])


def test_ship_uploads_builds_and_prints_the_url(cli, gateway, project):
    done = cli.run("ship", str(project))
    assert done.stdout == "https://orders-abcdefghij.skerry.localhost:8443/\n"
    for words in ("Upload", "Dependencies", "cached", "Start", "12 ms", "LOG_LEVEL stands over a secret"):
        assert words in done.stderr
    assert "\x1b" not in done.stderr and "\\x1b[31mflask" in done.stderr
    request = shipped(gateway)
    assert request["function"] == {"name": "orders"}
    assert request["language"] == "python"
    assert request["config"]["env"] == {"LOG_LEVEL": "info"}
    assert request["source"]["upload"] in gateway.uploads
    link = json.loads((project / ".skerry/link.json").read_text())
    assert link["function"] == "orders" and link["function_id"] == "fn-orders" and link["gateway"] == gateway.url


def test_ship_json_is_one_document(cli, gateway, project):
    out = cli.json("ship", str(project))
    assert out["url"].startswith("https://orders-")
    assert [w["message"] for w in out["warnings"]] == ["LOG_LEVEL stands over a secret"]


def test_the_same_tree_is_the_same_bytes(cli, gateway, project, tmp_path):
    cli.run("ship", str(project))
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("requirements.txt", "func.py", "func.toml"):  # another order, other times
        (copy / name).write_text((project / name).read_text())
        os.utime(copy / name, (1, 1))
    cli.run("ship", str(copy))
    assert len(gateway.uploads) == 1
    (copy / "func.py").write_text("def new(): return 1\n")
    cli.run("ship", str(copy))
    assert len(gateway.uploads) == 2


def test_an_upload_that_arrives_changed_is_noticed(cli, gateway, project):
    cli.run("ship", str(project))
    sent = gateway.sent("POST", "/v1/uploads")[0]
    assert sent["headers"]["Skerry-Digest"] in gateway.uploads
    gateway.overrides[("POST", "/v1/uploads")] = (201, {"digest": "sha256:" + "0" * 64, "size": 1, "files": 1})
    assert cli.error("ship", str(project), code=1)["code"] == "corrupt"
    assert len(gateway.sent("POST", "/v1/functions/ship")) == 1


def test_the_archive_holds_what_is_selected_and_nothing_of_this_machine(cli, gateway, project):
    (project / ".env").write_text("SECRET=1")
    (project / "node_modules").mkdir()
    (project / "node_modules/x.js").write_text("x")
    (project / "lib").mkdir()
    (project / "lib/tool.sh").write_text("#!/bin/sh\n")
    (project / "lib/tool.sh").chmod(0o755)
    (project / "tool").symlink_to("lib/tool.sh")
    (project / "caf\u00e9.txt").write_text("x")
    (project / ("d" * 120)).mkdir()
    (project / ("d" * 120) / ("n" * 150)).write_text("long")
    cli.run("ship", str(project))
    members = unpack(next(iter(gateway.uploads.values())))
    assert set(members) == {"func.toml", "func.py", "requirements.txt", "lib", "lib/tool.sh", "tool", "caf\u00e9.txt", "d" * 120, "d" * 120 + "/" + "n" * 150}
    assert members["lib/tool.sh"].mode == 0o755 and members["func.py"].mode == 0o644
    assert members["tool"].issym() and members["tool"].linkname == "lib/tool.sh"
    for m in members.values():
        assert (m.uid, m.gid, m.mtime, m.uname, m.gname) == (0, 0, 0, "", "")


def test_every_runtime_value_is_an_option(cli, gateway, project):
    cli.run("ship", str(project), "--memory", "512MB", "--cpu", "0.5", "--timeout", "10s", "--concurrency", "4", "--min-instances", "1", "--max-instances", "9",
            "--idle-timeout", "1m", "--start-timeout", "30s", "--background", "true", "--entrypoint", '["./run"]', "--scratch", "1GB", "--version", "3.13", "--language", "python")
    request = shipped(gateway)
    assert request["version"] == "3.13"
    wanted = {"memory_mb": 512, "cpu_millis": 500, "timeout_ms": 10000, "concurrency": 4, "min_instances": 1, "max_instances": 9, "idle_timeout_ms": 60000,
              "start_timeout_ms": 30000, "background": True, "entrypoint": ["./run"], "scratch_mb": 1024}
    assert {k: request["config"][k] for k in wanted} == wanted


def test_check_uploads_nothing_and_lists_everything(cli, gateway, project):
    done = cli.run("ship", "--check", cwd=project)
    assert "func.py" in done.stdout and "orders (python): 3 files" in done.stdout
    out = cli.json("ship", "--check", cwd=project)
    assert out["ok"] and [f["path"] for f in out["files"]] == ["func.py", "func.toml", "requirements.txt"]
    assert gateway.requests == []
    assert not (project / ".skerry").exists()


def test_config_only_sends_no_code(cli, gateway, project):
    cli.run("ship", str(project), "--config-only")
    assert shipped(gateway)["source"] is None
    assert gateway.uploads == {}


def test_an_image_reference_is_not_uploaded(cli, gateway, project):
    cli.run("ship", str(project), "--image", "registry.example/orders:1")
    assert shipped(gateway)["source"] == {"image": "registry.example/orders:1"}
    assert shipped(gateway)["language"] == "image" and gateway.uploads == {}


def test_bad_manifest_names_line_and_fix_and_sends_nothing(cli, gateway, project):
    (project / "func.toml").write_text('[edge_compute]\nfunc_name = "orders"\n[runtime]\nmemroy = "1GB"\n[env_vars]\nRETRIES = 3\nPORT = "1"\n')
    done = cli.run("ship", str(project), code=2)
    assert "func.toml:4: error: runtime.memroy: unknown key" in done.stderr and "did you mean `memory`?" in done.stderr
    assert 'func.toml:6: error: env_vars.RETRIES: must be a string' in done.stderr and 'RETRIES = "3"' in done.stderr
    assert "func.toml:7: error: env_vars.PORT" in done.stderr
    error = cli.error("ship", str(project), code=2)
    assert error["code"] == "invalid_project"
    assert [d["line"] for d in error["details"]["diagnostics"]] == [4, 6, 7]
    assert gateway.requests == []
    assert cli.run("ship", "--check", "--json", str(project), code=2).stdout.count('"severity":"error"') == 3


def test_a_bad_option_value_is_named(cli, project):
    done = cli.run("ship", str(project), "--memory", "512", code=2)
    assert "--memory: error: `512` has no unit" in done.stderr


def test_no_known_language(cli, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "README.md").write_text("x")
    assert "no known language" in cli.run("ship", str(folder), code=2).stderr


def test_a_folder_without_a_manifest_ships_under_its_name(cli, gateway, tmp_path):
    folder = tmp_path / "My_App"
    folder.mkdir()
    (folder / "go.mod").write_text("module x\n")
    done = cli.run("ship", str(folder))
    assert "`my-app` is taken from the folder" in done.stderr
    assert shipped(gateway)["function"]["name"] == "my-app" and shipped(gateway)["language"] == "go"


def test_a_knative_project_is_named_by_its_func_yaml(cli, gateway, tmp_path):
    folder = tmp_path / "knative"
    folder.mkdir()
    (folder / "func.yaml").write_text("specVersion: 0.36.0\nname: billing\nruntime: python\n")
    (folder / "requirements.txt").write_text("")
    cli.run("ship", str(folder))
    assert shipped(gateway)["function"]["name"] == "billing"


def test_a_symlink_that_leads_out_is_refused_by_name(cli, gateway, project):
    (project / "passwd").symlink_to("/etc/passwd")
    assert "symlink `passwd` leads out of the project" in cli.run("ship", str(project), code=2).stderr
    assert gateway.uploads == {}


def test_a_missing_folder(cli):
    assert "`/no/such` is not a folder" in cli.run("ship", "/no/such", code=2).stderr


def test_over_the_size_limits(cli, gateway, project):
    with open(project / "big.bin", "wb") as f:
        f.truncate(251 * 1024 * 1024)
    done = cli.run("ship", str(project), code=7)
    assert "`big.bin` (251.0 MB)" in done.stderr and "250 MB is the most" in done.stderr
    (project / "big.bin").write_bytes(os.urandom(51 * 1024 * 1024))
    assert "MB compressed, and 50 MB is the most" in cli.run("ship", str(project), code=7).stderr
    assert gateway.uploads == {}


def test_a_failed_build_shows_stage_and_log(cli, gateway, project):
    gateway.ship_events = [
        {"event": "accepted", "function": "orders", "revision": "r"},
        {"event": "error", "error": {"code": "build_failed", "message": "dependencies of `orders`: no such package: flsk", "request_id": "req-9",
                                     "details": {"stage": "deps", "log_tail": "ERROR: flsk\nnothing found", "build_id": "b1"}}},
    ]
    done = cli.run("ship", str(project), code=6)
    assert "  | ERROR: flsk\n  | nothing found" in done.stderr and "`orders` was not built: dependencies of `orders`: no such package: flsk" in done.stderr and "skerry logs orders --build b1" in done.stderr and "req-9" in done.stderr
    assert not (project / ".skerry/link.json").exists()
    error = cli.error("ship", str(project), code=6)
    assert error["code"] == "build_failed" and error["details"]["stage"] == "deps" and error["exit_code"] == 6
    gateway.ship_events[1]["error"].update(code="start_failed", details={"phase": "boot", "log_tail": ["Traceback"]})
    assert "  | Traceback" in cli.run("ship", str(project), code=6).stderr


def test_a_stream_that_breaks_off_or_is_no_json_is_an_error(cli, gateway, project):
    gateway.ship_events = [{"event": "accepted", "function": "orders", "revision": "r"}]
    assert cli.error("ship", str(project), code=5)["code"] == "stream_ended"
    gateway.ship_events = [b"<html>"]
    assert cli.error("ship", str(project), code=1)["code"] == "unexpected_answer"
    gateway.ship_events = [b'"' + b"x" * 300_000]
    assert cli.error("ship", str(project), code=1)["code"] == "unexpected_answer"


def test_refusals_of_the_gateway_have_their_exit_codes(cli, gateway, project):
    for status, api_code, exit_code in ((413, "too_large", 7), (429, "limit_reached", 7), (507, "no_space", 7), (400, "bad_request", 2), (403, "forbidden", 4), (409, "conflict", 1),
                                        (503, "unavailable", 5), (500, "internal", 1)):
        gateway.overrides[("POST", "/v1/functions/ship")] = (status, {"error": {"code": api_code, "message": "because", "request_id": "req-2"}})
        error = cli.error("ship", str(project), code=exit_code)
        assert error["code"] == api_code and error["request_id"] == "req-2"


def test_the_manifest_is_never_edited(cli, project):
    before = (project / "func.toml").read_bytes(), os.stat(project / "func.toml").st_mtime_ns
    cli.run("ship", str(project))
    assert ((project / "func.toml").read_bytes(), os.stat(project / "func.toml").st_mtime_ns) == before
