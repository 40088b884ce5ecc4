//! What may be answered, by whom, for how long, and from where.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tiny_http::{Header, Response, Server};

use crate::approvals::question;
use crate::run::{Running, eventually};
use crate::world::World;

scenarios! { "answers":
    a_yes_for_the_project_is_kept_listed_and_taken_back,
    a_yes_for_the_project_holds_in_no_other,
    a_shell_gets_no_yes_for_the_project,
    an_answer_can_stop_the_session,
    a_yes_may_need_a_reason,
    a_yes_for_the_session_may_end_before_it,
    only_answers_that_the_policy_has_are_taken,
    one_person_is_not_two_and_a_signed_answer_is_another,
    a_forged_answer_is_written_down_and_changes_nothing,
    an_answer_that_comes_too_late_is_written_down,
    the_glass_is_broken_aloud_and_reviewed_afterwards,
    the_glass_stays_whole_where_nobody_permits_it,
    silence_is_a_refusal,
}

const ASK: &str = "prefix_rule(pattern = [\"touch\"], decision = \"prompt\")\n";

const PROMPT: &str = "[commands]\ndefault = \"prompt\"\n";

const SOON: Duration = Duration::from_secs(10);

fn start(world: &World, settings: &str, script: &str) -> Running {
    world.rules(ASK);
    world.settings(settings);
    world.start(&["run", "--approvals", "queue", "--", "sh", "-c", script])
}

fn listed(world: &World) -> Value {
    let listing = world.remit(&["approvals", "list", "--json"]).succeeds().out;
    serde_json::from_str(&listing).expect("a list")
}

fn a_yes_for_the_project_is_kept_listed_and_taken_back(world: &World) {
    world.settings(PROMPT);
    let say = |word: &str| world.remit(&["run", "--", "gettext", word]);
    say("hello").fails().says("nobody can be asked");
    let running = world.start(&["run", "--approvals", "queue", "--", "gettext", "hello"]);
    let id = question(world);
    let proposal = listed(world)[0]["proposal"].as_str().expect("a proposal").to_owned();
    assert!(proposal.contains("/gettext\", \"hello\"], exact = True"), "{proposal}");
    world.remit(&["approvals", "answer", &id, "--project", "--note", "greeting"]).succeeds();
    running.finish().succeeds().says("hello").does_not_say("only");
    world.record().has(&["answer_kept", "answers.rules", "hello"]);
    let file = world.home.join(".config/remit/rules/answers.rules");
    let about = fs::metadata(&file).expect("the file of answers");
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    assert!(!file.with_extension("rules.new").exists());
    say("hello").succeeds().says("hello");
    say("other").fails();
    world.remit(&["run", "--", "gettext", "hello", "more"]).fails();
    let rules = world.remit(&["approvals", "rules"]).succeeds().out;
    for words in ["1  until 20", "hello", "answered by", "at another terminal", "greeting"] {
        assert!(rules.contains(words), "{words}:\n{rules}");
    }
    world.remit(&["approvals", "forget", "2"]).fails().says("no answer 2");
    world.remit(&["approvals", "forget", "1"]).succeeds();
    assert_eq!(world.remit(&["approvals", "rules", "--json"]).succeeds().out.trim(), "[]");
    say("hello").fails();
    // A rule that was put there by hand would hold everywhere.
    world.write(&file, "prefix_rule(pattern = [\"gettext\"])\n");
    say("hello").fails().says("answers.rules").says("line 1");
}

fn a_yes_for_the_project_holds_in_no_other(world: &World) {
    world.settings(PROMPT);
    let running = world.start(&["run", "--approvals", "queue", "--", "gettext", "hello"]);
    world.remit(&["approvals", "answer", &question(world), "--project"]).succeeds();
    running.finish().succeeds();
    let other = world.workspace_under_tmp();
    let other = other.to_str().expect("text");
    world.remit(&["run", "-C", other, "--", "gettext", "hello"]).fails();
    let file = world.home.join(".config/remit/rules/answers.rules");
    let text = fs::read_to_string(&file).expect("the file of answers");
    let day = text.split(" until ").nth(1).and_then(|rest| rest.split(' ').next());
    let over = text.replace(day.expect("its day"), "2020-01-01");
    world.write(&file, &over);
    world.remit(&["run", "--", "gettext", "hello"]).fails().says("nobody can be asked");
    world.remit(&["approvals", "rules"]).succeeds().says("until 2020-01-01, over");
}

fn a_shell_gets_no_yes_for_the_project(world: &World) {
    world.settings(PROMPT);
    let running = world.start(&["run", "--approvals", "queue", "--", "sh", "-c", "true"]);
    let id = question(world);
    let asked = listed(world);
    assert_eq!(asked[0]["proposal"], Value::Null);
    assert_eq!(asked[0]["choices"], json!(["once", "session", "refuse", "stop"]));
    world.remit(&["approvals", "answer", &id, "--project"]).fails().says("still open");
    world.remit(&["approvals", "answer", &id, "--refuse"]).succeeds();
    running.finish().fails();
    assert!(!world.home.join(".config/remit/rules/answers.rules").exists());
}

fn an_answer_can_stop_the_session(world: &World) {
    let running = start(world, "", "touch one; touch two; sleep 60; touch three");
    world.remit(&["approvals", "answer", &question(world), "--stop"]).succeeds();
    let started = SystemTime::now();
    running.finish().fails().says("the session was stopped by");
    assert!(started.elapsed().expect("time passes") < SOON, "it does not wait for the command");
    for name in ["one", "two", "three"] {
        assert!(!world.workspace.join(name).exists());
    }
    let record = world.record();
    let at = |needles: &[&str]| record.has(needles)["seq"].as_u64().expect("a position");
    assert!(at(&["\"answer\"", "\"stop\""]) < at(&["session_ended"]));
    record.has(&["\"refusal\"", "touch"]);
}

fn a_yes_may_need_a_reason(world: &World) {
    let running = start(world, "[approvals]\nreason = true\n", "touch one");
    let id = question(world);
    world.remit(&["approvals", "answer", &id, "--once"]).fails().says("needs a reason");
    world.remit(&["approvals", "answer", &id, "--once", "--note", " "]).fails();
    assert!(!world.workspace.join("one").exists());
    let note = "for the release";
    world.remit(&["approvals", "answer", &id, "--once", "--note", note]).succeeds();
    running.finish().succeeds();
    world.record().has(&["\"answer\"", "once", note]);
}

fn a_yes_for_the_session_may_end_before_it(world: &World) {
    let settings = "[approvals]\nsession_expiry = \"2s\"\n";
    let script = "touch one && touch one && : > twice && sleep 3 && touch one";
    let running = start(world, settings, script);
    let first = question(world);
    world.remit(&["approvals", "answer", &first, "--session"]).succeeds();
    let second = eventually("a second question", SOON, || {
        let asked = listed(world);
        let id = asked[0]["id"].as_str()?.to_owned();
        (id != first).then_some(id)
    });
    assert!(world.workspace.join("twice").exists(), "meanwhile it was not asked again");
    world.remit(&["approvals", "answer", &second, "--refuse"]).succeeds();
    running.finish().fails();
}

fn only_answers_that_the_policy_has_are_taken(world: &World) {
    world.write(&world.workspace.join(".remit/config.toml"), "[approvals]\nanswers = [\"once\"]\n");
    let settings = "[approvals]\nanswers = [\"once\", \"session\"]\n";
    let running = start(world, settings, "touch one");
    let id = question(world);
    assert_eq!(listed(world)[0]["choices"], json!(["once", "refuse", "stop"]));
    world.remit(&["approvals", "answer", &id, "--session"]).fails().says("still open");
    world.remit(&["approvals", "answer", &id, "--once"]).succeeds();
    running.finish().succeeds();
}

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// What a service replies to a body: headers and a body.
type Reply = (Vec<(&'static str, String)>, Vec<u8>);

/// A service on this machine, and the settings that name it.
fn service(world: &World, reply: impl Fn(&Value) -> Reply + Send + 'static) -> String {
    let server = Server::http("127.0.0.1:0").expect("a server");
    let address = server.server_addr().to_ip().expect("its address");
    thread::spawn(move || {
        for mut request in server.incoming_requests() {
            let mut body = String::new();
            let _ = request.as_reader().read_to_string(&mut body);
            let (headers, body) = reply(&serde_json::from_str(&body).unwrap_or(Value::Null));
            let mut response = Response::from_data(body);
            for (name, value) in headers {
                response.add_header(Header::from_bytes(name, value).expect("a header"));
            }
            let _ = request.respond(response);
        }
    });
    let key = world.home.join("webhook.key");
    world.write(&key, KEY);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a closed file");
    format!(
        "[credentials.hook]\nsource = {{ file = \"~/webhook.key\" }}\nas = \"bearer\"\n\
         [approvals.webhook]\nurl = \"http://{address}/remit\"\ncredential = \"hook\"\n"
    )
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

/// Bob's yes to what came, signed with a key.
fn yes(asked: &Value, key: &str) -> Reply {
    let data = &asked["data"];
    let text = json!({
        "question": data["question"], "digest": data["digest"], "choice": "once",
        "by": "bob@acme.example", "expires": now() + 60,
    });
    let (body, id, at) = (text.to_string(), "msg_1".to_owned(), now().to_string());
    let mut code = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key");
    code.update(format!("{id}.{at}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(code.finalize().into_bytes()));
    let headers =
        vec![("webhook-id", id), ("webhook-timestamp", at), ("webhook-signature", signature)];
    (headers, body.into_bytes())
}

fn one_person_is_not_two_and_a_signed_answer_is_another(world: &World) {
    let go = std::sync::Arc::new(Mutex::new(()));
    let held = go.lock().expect("nobody panicked");
    let waits = std::sync::Arc::clone(&go);
    let hook = service(world, move |asked| {
        drop(waits.lock());
        yes(asked, KEY)
    });
    let running = start(world, &format!("[approvals]\npeople = 2\n{hook}"), "touch one");
    let id = question(world);
    let answer = || world.remit(&["approvals", "answer", &id, "--once"]);
    answer().succeeds().says("1 more must agree");
    answer().fails().says("1 more people");
    assert_eq!(listed(world)[0]["agreed"].as_array().map(Vec::len), Some(1));
    assert!(!world.workspace.join("one").exists(), "one person is one person");
    drop(held);
    running.finish().succeeds();
    assert!(world.workspace.join("one").exists());
    let record = world.record();
    record.has(&["\"agreed\"", "at another terminal"]);
    record.has(&["\"answer\"", "at another terminal", "bob@acme.example by the webhook"]);
    let told = record.events.iter().map(Value::to_string).collect::<String>();
    assert!(!told.contains(KEY), "the key is in no record");
}

fn a_forged_answer_is_written_down_and_changes_nothing(world: &World) {
    let hook = service(world, |asked| yes(asked, "another key of as many bytes"));
    let running = start(world, &hook, "touch one");
    let id = question(world);
    eventually("the forged answer in the record", SOON, || {
        let record = world.record();
        (!record.with(&["ignored_answer", "not signed"]).is_empty()).then_some(())
    });
    assert!(!world.workspace.join("one").exists());
    world.remit(&["approvals", "answer", &id, "--refuse"]).succeeds();
    running.finish().fails();
}

fn an_answer_that_comes_too_late_is_written_down(world: &World) {
    let running = start(world, "", "touch one; while ! [ -e stop ]; do sleep 0.1; done");
    let id = question(world);
    world.remit(&["approvals", "answer", &id, "--refuse"]).succeeds();
    world.remit(&["approvals", "answer", &id, "--once"]).fails().says("too late");
    world.outside(": > stop").succeeds();
    running.finish();
    assert!(!world.workspace.join("one").exists());
    world.record().has(&["late_answer", "\"once\"", "was already refused"]);
}

fn the_glass_is_broken_aloud_and_reviewed_afterwards(world: &World) {
    let settings = "[approvals]\npeople = 2\nanswers = [\"once\"]\nbreak_glass = \"15m\"\n";
    world.write(
        &world.home.join(".config/remit/rules/no.rules"),
        "prefix_rule(pattern = [\"mkdir\"], decision = \"forbidden\")\n",
    );
    let running = start(world, settings, "touch one; mkdir two; touch three");
    let id = question(world);
    let session = world.sessions().pop().expect("a session");
    world.remit(&["approvals", "answer", &id, "--once"]).succeeds().says("1 more");
    let glass = |length: &str, reason: &str| {
        world.remit(&["approvals", "break-glass", &session, "--for", length, "--reason", reason])
    };
    glass("20m", "the site is down").fails().says("900 s");
    glass("10m", " ").fails().says("reason");
    glass("10m", "the site is down").succeeds().says("broken until");
    glass("10m", "again").fails().says("already");
    // What is open is on other terms now, and so is what comes.
    world.remit(&["approvals", "answer", &id, "--session"]).succeeds();
    let third = eventually("a second question", SOON, || {
        let asked = listed(world);
        asked[0]["id"].as_str().filter(|other| *other != id).map(str::to_owned)
    });
    let reviews = world.remit(&["approvals", "reviews"]).succeeds().says("the site is down").out;
    let review = reviews.lines().next().expect("a review").to_owned();
    let close = || world.remit(&["approvals", "review", &review, "--note", "it was right"]);
    close().fails().says("still broken");
    world.remit(&["approvals", "answer", &third, "--once"]).succeeds();
    running.finish().says("the glass was broken by").says("the glass is whole again");
    let made = |name: &str| world.workspace.join(name).exists();
    assert!(made("one") && made("three") && !made("two"), "what is forbidden stays so");
    let record = world.record();
    record.has(&["\"break_glass\"", "the site is down"]);
    record.has(&["break_glass_ended", "\"yeses\":2"]);
    let inside = world.inside("ls ~/.local/state/remit/reviews");
    inside.fails().says("not reviewed");
    close().succeeds();
    close().fails().says("was closed by");
    world.inside("true").succeeds().does_not_say("not reviewed");
    world.remit(&["approvals", "reviews", "--all"]).succeeds().says("it was right");
}

fn the_glass_stays_whole_where_nobody_permits_it(world: &World) {
    let running = start(world, "[approvals]\npeople = 2\n", "touch one");
    let id = question(world);
    let session = world.sessions().pop().expect("a session");
    let words = ["approvals", "break-glass", &session, "--for", "1m", "--reason", "x"];
    world.remit(&words).fails().says("`approvals.break_glass` is off");
    let elsewhere = ["approvals", "break-glass", "../x", "--for", "1m", "--reason", "x"];
    world.remit(&elsewhere).fails().says("no running session");
    assert!(!world.state().join("reviews").exists());
    world.remit(&["approvals", "answer", &id, "--refuse"]).succeeds();
    running.finish().fails();
}

fn silence_is_a_refusal(world: &World) {
    let running = start(world, "[approvals]\npatience = \"1s\"\npeople = 2\n", "touch one");
    let id = question(world);
    world.remit(&["approvals", "answer", &id, "--once"]).succeeds().says("1 more");
    running.finish().fails().says("refused");
    assert!(!world.workspace.join("one").exists(), "a yes of too few is no yes");
    world.record().has(&["\"answer\"", "nobody (timed out)"]);
}
