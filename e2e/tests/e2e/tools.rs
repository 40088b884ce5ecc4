//! Developers' tools work unchanged under the default profile: the same result
//! inside and outside, in worlds that differ in nothing else.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use remit_e2e::registry::{Package, Registry};

use crate::postgres::Postgres;
use crate::scenario::Need::{self, Program};
use crate::world::World;

scenarios! { "tools":
    cargo_builds_and_tests [Program("cargo"), Program("cc")],
    cargo_builds_from_a_vendored_directory [Program("cargo"), Program("cc")],
    npm_installs_from_an_allowed_registry [Program("npm"), Program("tar")],
    pytest_runs [Program("pytest")],
    go_tests [Program("go")],
    make_builds_in_parallel [Program("make"), Program("cc")],
    git_works_in_its_repository [Program("git")],
    git_makes_a_repository_in_tmp [Program("git")],
    git_manages_worktrees_and_submodules_if_policy_says_so [Program("git")],
    chromium_shows_a_page [Program("chromium")],
    psql_reaches_an_allowed_server [Program("psql"), Need::Postgres],
}

/// Runs a script in a fresh world outside and in this one inside, with the same
/// files. Both must succeed and say the same, `expected` among it.
fn unchanged(world: &World, files: &[(&str, &str)], script: &str, expected: &[&str]) {
    let control = World::new(world.who.clone());
    for world in [&control, world] {
        for (path, text) in files {
            world.write(&world.workspace.join(path), text);
        }
    }
    let outside = control.outside(script).succeeds();
    let inside = world.inside(script).succeeds();
    let home = |world: &World| world.home.display().to_string();
    assert_eq!(
        inside.out.replace(&home(world), "~"),
        outside.out.replace(&home(&control), "~"),
        "inside:\n{}\noutside:\n{}",
        inside.err,
        outside.err
    );
    for expected in expected {
        assert!(inside.out.contains(expected), "should say `{expected}`: {inside:?}");
    }
}

/// As [`unchanged`], and nothing was refused on the way, told or not.
fn unhindered(world: &World, files: &[(&str, &str)], script: &str, expected: &[&str]) {
    unchanged(world, files, script, expected);
    let refused = world.record();
    assert!(refused.with(&["\"refusal\""]).is_empty(), "{:#?}", refused.with(&["\"refusal\""]));
}

const DEPENDENCY: [(&str, &str); 2] = [
    (
        "vendor/greeting/Cargo.toml",
        "[package]\nname = \"greeting\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
    ),
    ("vendor/greeting/src/lib.rs", "pub fn hello() -> &'static str { \"hello from a crate\" }\n"),
];

const MAIN: (&str, &str) = (
    "src/main.rs",
    "fn main() { println!(\"{}\", greeting::hello()); }\n\
     #[test]\nfn it_greets() { assert!(greeting::hello().starts_with(\"hello\")); }\n",
);

/// The time it took differs from run to run.
const CARGO: &str = "cargo build --quiet && ./target/debug/app && \
     cargo test 2>/dev/null | sed 's/finished in .*//'";

fn cargo_builds_and_tests(world: &World) {
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
                    [dependencies]\ngreeting = { path = \"vendor/greeting\" }\n";
    let files = [&[("Cargo.toml", manifest), MAIN][..], &DEPENDENCY].concat();
    // It tries to make `~/.cargo`, and goes on without.
    unchanged(world, &files, CARGO, &["hello from a crate", "test it_greets ... ok"]);
}

fn cargo_builds_from_a_vendored_directory(world: &World) {
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
                    [dependencies]\ngreeting = \"0.1\"\n";
    let source = "[source.crates-io]\nreplace-with = \"vendored\"\n\
                  [source.vendored]\ndirectory = \"vendor\"\n";
    let files = [
        &[
            ("Cargo.toml", manifest),
            MAIN,
            (".cargo/config.toml", source),
            ("vendor/greeting/.cargo-checksum.json", "{\"files\":{}}"),
        ][..],
        &DEPENDENCY,
    ]
    .concat();
    unchanged(world, &files, CARGO, &["hello from a crate", "test it_greets ... ok"]);
}

/// What `npm pack` would make of a package with one module and one script.
fn package() -> Package {
    let folder = tempfile::tempdir().expect("a directory");
    let inner = folder.path().join("package");
    fs::create_dir(&inner).expect("a directory");
    let manifest = r#"{ "name": "greeting", "version": "1.0.0", "main": "index.js",
                        "scripts": { "install": "node made.js" } }"#;
    let made = "require('fs').writeFileSync('made.txt', 'by its script')";
    let index = "module.exports = 'hello from a package, ' + require('fs').readFileSync(__dirname + '/made.txt')";
    for (name, text) in [("package.json", manifest), ("made.js", made), ("index.js", index)] {
        fs::write(inner.join(name), text).expect("a file");
    }
    let tar = Command::new("tar")
        .arg("-C")
        .arg(folder.path())
        .args(["-czf", "-", "package"])
        .output()
        .expect("tar");
    assert!(tar.status.success(), "{tar:?}");
    Package { name: "greeting".into(), version: "1.0.0".into(), tarball: tar.stdout }
}

fn npm_installs_from_an_allowed_registry(world: &World) {
    let registry = Registry::start(package()).expect("a registry");
    let address = registry.address();
    let manifest = r#"{ "name": "app", "version": "1.0.0", "dependencies": { "greeting": "1" } }"#;
    let npmrc = format!("registry=http://{address}/\nupdate-notifier=false\n");
    let files = [("package.json", manifest), (".npmrc", npmrc.as_str())];
    let script = "npm install 2>&1 | sed 's/ in [0-9.]*m\\?s$//' && \
                  node -e 'console.log(require(\"greeting\"))' && npm ci --silent && \
                  node -e 'console.log(require(\"greeting\"))'";
    // Where nobody allows it, it is not reached, and the registry hears nothing.
    let closed = World::new(world.who.clone());
    for (path, text) in files {
        closed.write(&closed.workspace.join(path), text);
    }
    closed.inside("npm install --fetch-retries=0").fails().says(&address.to_string());
    assert!(registry.asked().is_empty(), "{:?}", registry.asked());

    world.settings(&format!("[network]\nallow = [\"{address}\"]\n"));
    unhindered(world, &files, script, &["added 1 package", "hello from a package, by its script"]);
    assert!(registry.asked().iter().any(|path| path.ends_with("greeting-1.0.0.tgz")));
}

fn pytest_runs(world: &World) {
    let test = "import subprocess\n\
                def test_files(tmp_path):\n\
                \x20   (tmp_path / 'x').write_text('1')\n\
                \x20   assert (tmp_path / 'x').read_text() == '1'\n\
                def test_programs():\n\
                \x20   assert subprocess.check_output(['echo', 'hi']) == b'hi\\n'\n";
    let script = "pytest -v 2>&1 | sed 's/ in [0-9.]*s//' && ls -d .pytest_cache __pycache__";
    unhindered(world, &[("test_it.py", test)], script, &["2 passed", ".pytest_cache"]);
}

fn go_tests(world: &World) {
    let files = [
        ("go.mod", "module example.invalid/app\n\ngo 1.19\n"),
        ("add.go", "package app\n\nfunc Add(a, b int) int { return a + b }\n"),
        (
            "add_test.go",
            "package app\n\nimport \"testing\"\n\nfunc TestAdd(t *testing.T) {\n\tif Add(1, 2) != 3 {\n\t\tt.Fatal()\n\t}\n}\n",
        ),
    ];
    // The second time it comes out of the build cache.
    let script = "go vet ./... && go test ./... | sed 's/\\t[0-9.]*s$//' && go test ./...";
    unhindered(world, &files, script, &["ok  \texample.invalid/app", "(cached)"]);
}

fn make_builds_in_parallel(world: &World) {
    let makefile = "names = a b c d e f\nall: $(names)\n\t@cat $(names:=.out)\n\
                    $(names): ; @cc -x c -o $@ main.c && ./$@ > $@.out\n.PHONY: all\n";
    let main = "#include <stdio.h>\nint main(void) { puts(\"built and run\"); return 0; }\n";
    let files = [("Makefile", makefile), ("main.c", main)];
    unhindered(world, &files, "make -j4", &["built and run\nbuilt and run"]);
}

/// Everything one does to a repository that is there already, with dates that
/// make both runs' commits the same.
const GIT: &str = "
set -e
export GIT_AUTHOR_DATE='2026-01-01 00:00:00 +0000' GIT_COMMITTER_DATE='2026-01-01 00:00:00 +0000'
git commit --quiet --amend --reset-author --date=\"$GIT_AUTHOR_DATE\" --message=first
for name in 1 2 3 4; do seq 1 ${name}00 > file$name; done
git add . && git commit --quiet --message=files
git mv file1 moved && echo more >> moved && git commit --quiet --all --message=rename
git show --find-renames --summary --format=%s
git checkout --quiet -b side HEAD~1 && echo x >> file2 && git commit --quiet --all --message=side
git rebase --quiet main && git checkout --quiet main && git merge --quiet --no-edit side
echo y >> file3 && git stash --quiet && git stash pop --quiet && git diff --stat
git reset --quiet --hard && git rm --quiet file4 && git commit --quiet --message=gone
git revert --no-edit HEAD > /dev/null
git reset --quiet --hard HEAD~1 && git cherry-pick ORIG_HEAD > /dev/null
git tag --annotate --message=one v1 && git branch other
git bisect start > /dev/null && git bisect reset 2> /dev/null
git notes add --message=note && git gc --quiet && git fsck 2>&1
git log --oneline --all | sort && git status --short
";

fn git_works_in_its_repository(world: &World) {
    world.rules("prefix_rule(pattern = [\"git\", \"reset\"], decision = \"allow\")\n");
    unhindered(world, &[], GIT, &["rename file1 => moved", "gone"]);
}

fn git_makes_a_repository_in_tmp(world: &World) {
    let script = "cd $(mktemp -d) && git init --quiet . && git config core.hooksPath hooks && \
                  echo x > x && git add x && git commit --quiet --message=one && \
                  git clone --quiet . copy && git -C copy log --format=%s";
    world.rules("prefix_rule(pattern = [\"git\", \"config\"], decision = \"allow\")\n");
    unhindered(world, &[], script, &["one"]);
}

fn git_manages_worktrees_and_submodules_if_policy_says_so(world: &World) {
    let script = "set -e
        git worktree add --quiet tree -b topic && cd tree && echo x > x && git add x
        git commit --quiet --message=topic && cd .. && git log --format=%s topic
        git worktree list | wc -l && git worktree remove tree && git branch --list
        git init --quiet other && git -C other commit --quiet --allow-empty --message=other
        git -c protocol.file.allow=always submodule --quiet add ./other module
        git commit --quiet --message=module && git submodule status | cut -d' ' -f3
        git -C module log --format=%s && git config remote.origin.url https://example.invalid/x
        git config --get remote.origin.url";
    world.inside(script).fails().says("sandbox.git");
    let managed = World::new(world.who.clone());
    managed.settings("[sandbox]\ngit = \"manage\"\n");
    unhindered(&managed, &[], script, &["topic", "module", "other", "https://example.invalid/x"]);
}

/// What its own processes say to nobody goes to standard error.
const CHROMIUM: &str =
    "chromium --headless --no-sandbox --disable-gpu --virtual-time-budget=2000 --dump-dom";

fn chromium_shows_a_page(world: &World) {
    let page = "<p id=answer></p><script>answer.textContent = `six times seven is ${6 * 7}`; \
                fetch('note').then(r => r.text()).then(t => document.title = t)</script>";
    let files = [("page.html", page), ("note", "a note by HTTP")];
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let script = format!(
        "{CHROMIUM} file://$PWD/page.html && \
         {{ python3 -m http.server --bind 127.0.0.1 {port} > /dev/null 2>&1 & }} && \
         for i in $(seq 50); do nc -z 127.0.0.1 {port} && break; sleep 0.1; done && \
         {CHROMIUM} http://127.0.0.1:{port}/page.html; status=$?; kill $!; exit $status"
    );
    unchanged(world, &files, &script, &["six times seven is 42", "<title>a note by HTTP"]);
}

fn psql_reaches_an_allowed_server(world: &World) {
    let server = Postgres::start(world);
    let port = server.port();
    let query = |host: &str| {
        format!(
            "psql --no-psqlrc --host={host} --port={port} --username=postgres --tuples-only \
             --no-align postgres --command='create temporary table t as select generate_series(1, 1000) as n' \
             --command='select sum(n) from t' 2>&1"
        )
    };
    world.outside(&query("127.0.0.1")).succeeds().says("500500");
    world.inside(&query("127.0.0.1")).fails().says(&format!("127.0.0.1:{port}"));

    for (allowed, host) in [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost")] {
        let open = World::new(world.who.clone());
        open.settings(&format!("[network]\nallow = [\"{allowed}:{port}\"]\n"));
        unhindered(&open, &[], &query(host), &["500500"]);
    }
}
