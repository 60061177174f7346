"""What TAB offers: in bash itself, at a terminal; and in zsh and fish where they are installed."""
import os
import pty
import select
import shutil
import subprocess
import time

import pytest
from conftest import BINARY, TIMEOUT_S
from test_verbs import VERBS

LANGUAGES = "go java node python ts"
# The words so far, the last one unfinished; what is offered; what must not be beside it.
OFFERS = [
    ("shi", "ship"), ("secrets ", "--help ls rm set"), ("secrets s", "set"), ("secrets set --fr", "--from-file"),
    ("init --lang ", LANGUAGES), ("init -l ", LANGUAGES), ("init --lang p", "python"), ("init --lang = ", LANGUAGES), ("init --lang = py", "python"),
    ("init demo --lang j", "java"), ("init --la", "--lang"), ("ship --language ", "go image java node python"), ("ship --background t", "true"),
    ("ship --memory ", ""), ("ship --timeout 5s --background ", "false true"), ("invoke orders --method P", "PATCH POST PUT"), ("invoke -X D", "DELETE"),
    ("config s", "set show"), ("config set t", "token"), ("config --json unset c", "ca"), ("completion f", "fish"),
    ("logs o", "orders"), ("logs -f o", "orders"), ("logs --since 10m o", "orders"), ("logs bills o", ""), ("get b", "bills"), ("rm --yes b", "bills"),
    ("usage --function ", "bills orders"), ("secrets set --only b", "bills"), ("secrets set o", ""), ("secrets ls --only o", "orders"),
    ("ship fol", "folder"), ("dev fol", "folder"), ("init --dir fol", "folder"), ("secrets set X --from-file fil", "file.txt"), ("init fol", ""),
]


@pytest.fixture
def at_a_shell(cli, gateway, tmp_path):
    """The environment and folder of a user's shell: two functions, a folder, a file."""
    gateway.add_function("orders")
    gateway.add_function("bills")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").write_text("")
    return {"env": {**cli.env, "PATH": os.path.dirname(BINARY) + ":" + cli.env["PATH"], "TERM": "dumb"}, "cwd": tmp_path}


def test_bash_offers_verbs_options_and_what_each_may_be(cli, at_a_shell):
    script = cli.run("completion", "bash").stdout
    for words, _ in OFFERS:
        cut = ["skerry", *words.split(" ")]
        script += f'\nCOMP_WORDS=({" ".join(repr(w) for w in cut)}); COMP_CWORD={len(cut) - 1}; _skerry; printf "%s\\n" "${{COMPREPLY[@]}}" | sort | tr "\\n" " "; echo\n'
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, timeout=TIMEOUT_S, **at_a_shell)
    assert [(words, line.strip()) for (words, _), line in zip(OFFERS, done.stdout.splitlines())] == OFFERS, done.stderr
    assert done.stderr == ""


class Terminal:
    def __init__(self, argv, env, cwd):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=env, cwd=cwd)
        os.close(slave)
        self.seen = b""

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, *words):
        """Until all have been seen, in this order."""
        end = time.monotonic() + TIMEOUT_S
        for word in words:
            while word.encode() not in self.seen:
                assert select.select([self.master], [], [], max(0, end - time.monotonic()))[0], (word, self.seen)
                self.seen += os.read(self.master, 4096)
            self.seen = self.seen[self.seen.index(word.encode()) + len(word):]

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def test_tab_at_a_terminal_of_bash(cli, at_a_shell, tmp_path):
    (tmp_path / "script").write_text(cli.run("completion", "bash").stdout)
    t = Terminal(["bash", "--norc", "--noprofile", "-i"], **at_a_shell)
    try:
        t.type("bind 'set show-all-if-ambiguous on'; source ./script; show() { printf '<%s>' \"$@\"; echo; }; complete -F _skerry show; echo rea''dy\n")
        t.expect("ready\r\n")
        t.type("show init --lang \t")
        t.expect(*LANGUAGES.split(), "show init --lang ")
        t.type("py\tdemo\n")
        t.expect("<init><--lang><python><demo>")
        t.type("show init --lang=ja\tdemo\n")  # readline cuts at the equals sign, and puts it together again
        t.expect("<init><--lang=java><demo>")
        t.type("show ship fol\tx\n")
        t.expect("<ship><folder/x>")
        t.type("show logs -f or\t\n")
        t.expect("<logs><-f><orders>")
    finally:
        t.close()


def test_fish_and_zsh_have_the_same_words(cli):
    fish, zsh = (cli.run("completion", shell).stdout for shell in ("fish", "zsh"))
    for verb in VERBS:
        assert verb.split()[-1] in fish and verb.split()[-1] in zsh
    assert "-l lang -s l -x -a 'python node ts go java'" in fish
    assert "'init --lang'|'init -l') offer+=(python node ts go java) ;;" in zsh
    assert "complete -c skerry -n '__fish_seen_subcommand_from secrets; and __fish_seen_subcommand_from set' -l only -x -a '(skerry ls -q 2>/dev/null)'" in fish
    assert "bash, zsh, fish" in cli.run("completion", "tcsh", code=2).stderr


@pytest.mark.parametrize("shell", [s for s in ("bash", "zsh", "fish") if shutil.which(s)])
def test_the_shell_itself_finds_no_mistake_in_its_script(cli, shell):
    subprocess.run([shell, "-n"], input=cli.run("completion", shell).stdout, text=True, check=True, timeout=TIMEOUT_S)


def test_fish_offers_what_an_option_may_be(cli, at_a_shell, tmp_path):
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    (tmp_path / "script").write_text(cli.run("completion", "fish").stdout)
    for line, offered in (("init --lang ", LANGUAGES), ("config set ", "ca token url"), ("logs -f o", "orders"), ("ship --memory ", "")):
        done = subprocess.run(["fish", "--no-config", "-c", f"source ./script; complete -C 'skerry {line}'"], capture_output=True, text=True, timeout=TIMEOUT_S, **at_a_shell)
        assert " ".join(sorted(l.split("\t")[0] for l in done.stdout.splitlines())) == offered, (line, done.stderr)
