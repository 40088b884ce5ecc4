use remit_policy::{Answer, Choice, PolicyText, TextKind};
use tempfile::TempDir;

use super::*;
use crate::live::Purpose;
use crate::live::tests::gate;

fn policy(text: &str) -> Policy {
    let place = remit_policy::Place { home: "/home/ada".into(), workspace: "/home/ada/w".into() };
    let purpose = Purpose { profile: None, needs: Default::default(), place, hooks: Vec::new() };
    let text = format!("[network]\ndefault = \"ask\"\n{text}\n");
    let file = "config.toml".to_owned();
    let text = PolicyText { layer: Layer::User, kind: TextKind::Settings, file, text };
    purpose.compile(&[text]).expect("a policy")
}

fn there() -> Connect {
    Connect::parse("api.example:443").expect("a connection")
}

/// A connection under one policy and its gate.
struct Carried {
    gate: Arc<Gate>,
    standing: Standing,
    _record: TempDir,
}

fn carried(text: &str) -> Carried {
    let record = tempfile::tempdir().expect("a directory");
    let gate = gate(record.path(), policy(text));
    let standing = Standing::new(gate.policy());
    standing.terms(&gate, &there());
    Carried { gate, standing, _record: record }
}

impl Carried {
    fn change(&self, text: &str) {
        self.gate.change(policy(text), Vec::new(), Vec::new()).expect("it is written down");
    }

    /// The refusal that a change to this brings, if any.
    async fn after(&self, text: &str) -> Option<Refusal> {
        self.change(text);
        let moment = std::time::Duration::from_millis(20);
        tokio::time::timeout(moment, self.standing.revoked(&self.gate, &there())).await.ok()
    }
}

const ALLOW: &str = "allow = [\"api.example\"]";

#[tokio::test]
async fn a_change_closes_what_it_no_longer_permits_or_permits_otherwise() {
    for (text, closed) in [
        ("allow = [\"api.example\", \"other.example\"]", None),
        ("allow = [\"*.example.com\", \"api.example:443\"]", None),
        ("allow = [\"api.example\"]\ndeny = [\"other.example\"]", None),
        ("allow = [\"api.example\"]\ndeny = [\"api.example:22\"]", None),
        ("allow = [\"api.example\"]\ndeny = [\"api.example\"]", Some("network.deny")),
        ("deny = [\"**.example\"]", Some("network.deny")),
        ("", Some("network.default")),
        ("ask = [\"api.example\"]", Some("network.ask")),
        ("allow = [\"api.example:80\"]", Some("network.default")),
        ("allow = [\"api.example\"]\ninspect = [\"api.example\"]", Some("changed how")),
        ("allow = [\"api.example\"]\nupload = \"1MiB\"", Some("changed how")),
        ("allow = [\"api.example\"]\nweb = \"read-only\"", Some("changed how")),
        ("allow = [\"api.example\"]\nopaque = [\"api.example\"]", Some("changed how")),
        ("allow = [\"api.example\"]\nproxy = \"http://p.example:3128\"", Some("changed how")),
    ] {
        let refusal = carried(ALLOW).after(text).await;
        match closed {
            None => assert!(refusal.is_none(), "{text}: {refusal:?}"),
            Some(rule) => {
                let refusal = refusal.unwrap_or_else(|| panic!("still open: {text}"));
                assert!(refusal.to_string().contains(rule), "{text}: {refusal}");
            }
        }
    }
}

#[tokio::test]
async fn a_change_between_verdict_and_flow_is_not_missed() {
    let connection = carried(ALLOW);
    // Judged, then changed twice, then carried.
    connection.change("deny = [\"api.example\"]");
    assert!(connection.after("deny = [\"api.example:443\"]").await.is_some());
    let again = carried(ALLOW);
    again.change("deny = [\"api.example\"]");
    assert!(again.after(ALLOW).await.is_none(), "only what is in force counts");
}

#[tokio::test]
async fn a_yes_of_a_person_stays_and_never_beats_a_deny() {
    let connection = carried("ask = [\"api.example\"]");
    let Verdict::Ask(question) = connection.gate.judge(there()) else { panic!("not asked") };
    let answer =
        Answer { choice: Choice::Once, by: "ada".to_owned(), people: [].into(), note: None };
    let permit = question.settle(&answer).expect("a permit");
    connection.standing.permitted(&permit);
    assert!(connection.after("allow = [\"other.example\"]").await.is_none());
    assert!(connection.after("deny = [\"api.example\"]").await.is_some());
    let unasked = carried(ALLOW);
    let Verdict::Allow(permit) = unasked.gate.judge(there()) else { panic!("not allowed") };
    unasked.standing.permitted(&permit);
    assert!(unasked.after("ask = [\"api.example\"]").await.is_some(), "nobody was asked");
}

fn request(path: &str) -> Request {
    Request {
        connect: there(),
        scheme: remit_policy::Scheme::Https,
        method: remit_policy::Method::parse("GET").expect("a method"),
        target: remit_policy::Target::parse(path).expect("a target"),
        overrides: Vec::new(),
    }
}

#[tokio::test]
async fn a_request_under_way_is_judged_again_and_one_that_is_over_is_not() {
    let rule = |path: &str| {
        format!(
            "{ALLOW}\n[[network.rules]]\nhost = \"api.example\"\ndecision = \"forbidden\"\n\
             paths = [\"{path}\"]\n"
        )
    };
    let (some, deny) = (&rule("/elsewhere"), &rule("/stream"));
    let begin = |connection: &Carried| {
        let since = connection.gate.policy();
        let Verdict::Allow(permit) = connection.gate.judge(request("/stream")) else {
            panic!("not allowed")
        };
        (since, permit)
    };
    let connection = carried(some);
    let (since, permit) = begin(&connection);
    connection.standing.begins(&connection.gate, &since, 7, &permit).expect("it stands");
    let refusal = connection.after(deny).await.expect("it is under way");
    assert!(refusal.to_string().contains("/stream"), "{refusal}");

    let over = carried(some);
    let (since, permit) = begin(&over);
    over.standing.begins(&over.gate, &since, 7, &permit).expect("it stands");
    over.standing.answered(7);
    assert!(over.after(deny).await.is_none());

    let late = carried(some);
    let (since, permit) = begin(&late);
    late.change(deny);
    assert!(late.standing.begins(&late.gate, &since, 7, &permit).is_err(), "changed in between");
}

#[tokio::test]
async fn a_denied_address_closes_the_names_that_lead_there() {
    let address: IpAddr = "11.22.33.44".parse().expect("an address");
    let connection = carried(ALLOW);
    connection.standing.address(&connection.gate, &there(), address).expect("it is public");
    assert!(
        connection.after("allow = [\"api.example\"]\ndeny = [\"11.22.33.45\"]").await.is_none()
    );
    let refusal = connection.after("allow = [\"api.example\"]\ndeny = [\"11.22.33.0/24\"]").await;
    assert!(refusal.is_some_and(|refusal| refusal.to_string().contains("11.22.33.44")));
    // Refused, and remembered for a change that comes while it is looked at.
    let inside: IpAddr = "10.0.0.1".parse().expect("an address");
    assert!(carried(ALLOW).standing.address(&connection.gate, &there(), inside).is_err());
}
