//! What may leave in a body, what is answered without asking anybody, and what is
//! written down of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::approvals::question;
use crate::internet::{GREETING, Internet};
use crate::places;
use crate::scenario::Need::{self, Program};
use crate::world::World;

scenarios! { "data":
    a_token_in_a_body_does_not_leave_unasked [Need::Internet, Program("curl")],
    a_yes_lets_a_token_leave_until_the_session_ends [Need::Internet, Program("curl")],
    what_was_kept_is_answered_and_nobody_is_called [Need::Internet, Program("curl")],
    a_secret_in_a_path_is_not_written_down [Need::Internet, Program("curl")],
}

/// A token of nobody's.
const TOKEN: &str = "ghp_Ab3dEf6hIj9lMn2pQr5tUv8xYz1aBc4eFg7i";

const INSPECT: &str = "[network]\nallow = [\"api.example\"]\ninspect = [\"api.example\"]\n";

fn a_token_in_a_body_does_not_leave_unasked(world: &World) {
    let internet = Internet::new(world);
    world.write(&world.workspace.join("notes"), &format!("first line\nkey = {TOKEN}\n"));
    world.settings(INSPECT);
    let posts = ["--http1.1 https", "--http2 https", "http"].map(|how| {
        let (flag, scheme) = how.rsplit_once(' ').unwrap_or(("", how));
        format!("curl -sS -m 10 {flag} --data-binary @notes {scheme}://api.example/echo")
    });
    for post in &posts {
        internet.forget();
        let output = internet.inside(post);
        output.says("what looks like a GitHub token").does_not_say(TOKEN);
        let seen = internet.saw(&["ghp_"]);
        assert!(seen.is_empty(), "{post}: {seen:?}");
        let record = world.record();
        record.has(&["upload", "a GitHub token", "api.example:443", "ask"].map(
            |part| match part {
                "api.example:443" if post.contains(" http:") => "api.example:80",
                part => part,
            },
        ));
        record.has(&["refusal", "what looks like a GitHub token"]);
        assert!(record.with(&[&TOKEN[..12]]).is_empty(), "the record has what was found");
    }
    world.settings(&format!("{INSPECT}patterns = \"off\"\n"));
    for post in &posts {
        internet.forget();
        internet.inside(post).succeeds();
        assert!(!internet.saw(&[TOKEN]).is_empty(), "the control: {post}");
    }
}

fn a_yes_lets_a_token_leave_until_the_session_ends(world: &World) {
    let internet = Internet::new(world);
    world.write(&world.workspace.join("notes"), TOKEN);
    world.settings(INSPECT);
    let post = "curl -sS -m 30 --data-binary @notes https://api.example/echo";
    let script = format!("{post} && {post}");
    let words = ["run", "--approvals", "queue", "--", "sh", "-c", &script];
    let running = internet.lab.start(places::remit(), &words);
    let id = question(world);
    assert!(internet.saw(&["ghp_"]).is_empty(), "nothing leaves before the answer");
    world.remit(&["approvals", "answer", &id, "--session"]).succeeds();
    running.finish().succeeds();
    assert_eq!(internet.saw(&[TOKEN]).len(), 2, "{:?}", internet.seen());
    let record = world.record();
    record.has(&["upload", "allowed for this session"]);
    let session = world.sessions().pop().expect("a session");
    world.remit(&["log", "timeline", &session]).succeeds().says("what looks like a GitHub token");
}

fn what_was_kept_is_answered_and_nobody_is_called(world: &World) {
    let internet = Internet::new(world);
    let get = "curl -sS -m 10 -i";
    world.settings(&format!("{INSPECT}cache = \"fill\"\n"));
    for url in ["https://api.example/kept", "http://api.example/kept"] {
        internet.inside(&format!("{get} {url}")).succeeds().says(GREETING);
    }
    let called = internet.lab.destinations();
    internet.forget();
    world.settings("[network]\nallow = [\"api.example\"]\ncache = \"only\"\n");
    for url in ["https://api.example/kept", "http://api.example/kept"] {
        let output = internet.inside(&format!("{get} {url}")).succeeds();
        output.says(GREETING).says("x-remit: cached").says("age: ");
    }
    for other in [
        "https://api.example/other",
        "http://api.example/kept?x",
        "-X POST -d x=1 https://api.example/kept",
        "-X DELETE https://api.example/kept",
        "--http2 https://api.example/other",
    ] {
        let output = internet.inside(&format!("{get} {other}"));
        output.says(" 504").says("x-remit: not cached").does_not_say(GREETING);
        world.record().has(&["refusal", "cache alone"]);
    }
    // What cannot be kept is not carried either.
    internet.inside("printf 'SSH-2.0-x\\r\\n' | timeout 5 curl -sS telnet://api.example:22");
    world.record().has(&["refusal", "api.example:22"]);
    assert_eq!(internet.seen(), Vec::<serde_json::Value>::new(), "nothing reached anybody");
    assert_eq!(internet.lab.destinations(), called, "nobody was called, names included");
    let kept = world.state().join("cache");
    internet.inside(&format!("ls {}", kept.display())).fails();
    assert!(fs::read_dir(&kept).expect("a directory").count() >= 2);
}

/// The secret comes to the program by other means than Remit, from a file that it
/// may read.
fn a_secret_in_a_path_is_not_written_down(world: &World) {
    let secret = "tok-5ecre7-2f81c09d77aa41";
    let internet = Internet::new(world);
    let file = world.home.join("token");
    world.write(&file, secret);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a closed file");
    world.settings(&format!(
        "{INSPECT}[credentials.token]\nsource = {{ file = \"{}\" }}\nhosts = [\"api.example:443\"]\n\
         as = \"bearer\"\nexpose = \"TOKEN\"\n",
        file.display()
    ));
    world.write(
        &world.workspace.join("urls"),
        &format!(
            "url = \"https://api.example/{secret}/x\"\nurl = \"http://api.example/{secret}/y\"\n"
        ),
    );
    world.rules("prefix_rule(pattern = [\"curl\"], decision = \"allow\")\n");
    internet.inside("curl -sS -m 10 -K urls");
    assert!(internet.saw(&[secret, "/x"]).is_empty(), "a secret from inside goes nowhere");
    let record = world.record();
    record.has(&["request", "/x"]);
    record.has(&["refusal", "secret of credential `token`"]);
    assert!(record.with(&[secret]).is_empty(), "{:?}", record.with(&[secret]));
}
