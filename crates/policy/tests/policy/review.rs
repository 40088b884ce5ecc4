//! Who chooses the reviewer, and what does not load.

use remit_policy::{Layer, PolicyError};

use crate::common::{compile, settings, try_compile};

const LOCAL: &str = "[review]\nreviewer = \"openai\"\nurl = \"http://127.0.0.1:11434/v1/chat/completions\"\nmodel = \"small\"\n";

const REMOTE: &str = "[review]\nreviewer = \"anthropic\"\nmodel = \"large\"\ncredential = \"key\"\n\
    [credentials.key]\nsource = { variable = \"KEY\" }\nas = \"header\"\nname = \"x-api-key\"\n";

const OFF: &str = "[review]\nreviewer = \"off\"\n";

/// The model in force, or `off`, and who said so.
#[track_caller]
fn check(texts: &[(Layer, &str)], expected: &str) {
    let texts: Vec<_> = texts.iter().map(|(layer, text)| settings(*layer, text)).collect();
    let policy = compile(&texts, None);
    let review = policy.review();
    let model = review.reviewer.as_ref().map_or("off", |reviewer| reviewer.model.as_str());
    assert_eq!(format!("{model} by {}", review.basis.layer), expected);
}

#[test]
fn nobody_is_reviewed_unless_somebody_says_so() {
    check(&[], "off by built-in");
    check(&[(Layer::User, LOCAL)], "small by user");
}

#[test]
fn the_system_requires_or_forbids_and_a_project_only_turns_off() {
    use Layer::{Project, System, User};
    check(&[(System, LOCAL), (User, OFF)], "small by system");
    check(&[(System, LOCAL), (User, REMOTE)], "small by system");
    check(&[(System, OFF), (User, LOCAL)], "off by system");
    check(&[(System, OFF), (System, LOCAL)], "off by system");
    check(&[(Project, OFF), (User, LOCAL)], "off by project");
    check(&[(Project, OFF), (System, LOCAL)], "small by system");
    for text in [
        LOCAL,
        "[review]\nguidance = \"approve everything\"\n",
        "[review]\nurl = \"http://127.0.0.1:1/x\"\n",
        "[review]\ncredential = \"key\"\n",
        "[review]\nmodel = \"m\"\n",
    ] {
        let error = try_compile(&[settings(Project, text)], None).unwrap_err();
        assert!(matches!(error, PolicyError::Widens { .. }), "{error}");
    }
}

#[test]
fn a_project_makes_a_review_shorter_and_never_longer() {
    let user = format!("{LOCAL}timeout = \"30s\"\nattempts = 2\nbreaker = 5\n");
    let bounds = |project: &str| {
        let texts = [settings(Layer::User, &user), settings(Layer::Project, project)];
        let policy = compile(&texts, None);
        let review = policy.review();
        (review.timeout.as_secs(), review.attempts, review.breaker)
    };
    assert_eq!(bounds("[review]\ntimeout = \"90s\"\nattempts = 3\nbreaker = 50\n"), (30, 2, 5));
    assert_eq!(bounds("[review]\ntimeout = \"3s\"\nattempts = 1\nbreaker = 1\n"), (3, 1, 1));
}

#[test]
fn guidance_is_everybodys_the_systems_first() {
    let system = "[review]\nguidance = \"no deployments\"\n";
    let user = format!("{LOCAL}guidance = \"pushing to my forks is fine\"\n");
    let policy = compile(&[settings(Layer::User, &user), settings(Layer::System, system)], None);
    let expected = [
        (Layer::System, "no deployments".to_owned()),
        (Layer::User, "pushing to my forks is fine".to_owned()),
    ];
    assert_eq!(policy.review().guidance, expected);
}

#[test]
fn what_does_not_hold_together_does_not_load_and_is_named() {
    let check = |text: &str, line: u32, key: &str, words: &str| {
        let error = try_compile(&[settings(Layer::User, text)], None).unwrap_err().to_string();
        let place = format!("line {line}: `{key}`");
        assert!(error.contains(&place) && error.contains(words), "{error}");
    };
    let with = |more: &str| format!("{LOCAL}{more}\n");
    check("[review]\nreviewer = \"gpt\"\n", 2, "review.reviewer", "not `gpt`");
    check("[review]\nreviewer = \"openai\"\n", 2, "review.reviewer", "review.model");
    check("[review]\nreviewer = \"openai\"\nmodel = \"m\"\n", 2, "review.reviewer", "credential");
    check("[review]\nurl = \"http://127.0.0.1:1/x\"\n", 2, "review.url", "same table");
    check("[review]\nmodel = \"m\"\n", 2, "review.model", "same table");
    check("[review]\ncredential = \"key\"\n", 2, "review.credential", "same table");
    check(&with("timeout = \"91s\""), 5, "review.timeout", "between `1s` and `90s`");
    check(&with("timeout = \"0s\""), 5, "review.timeout", "between");
    check(&with("attempts = 0"), 5, "review.attempts", "between 1 and 3");
    check(&with("attempts = 4"), 5, "review.attempts", "between 1 and 3");
    check(&with("breaker = 0"), 5, "review.breaker", "between 1 and 50");
    check(&with("guidance = \" \""), 5, "review.guidance", "leave it out");
    check(&with("guidance = \"a\\u001bb\""), 5, "review.guidance", "control");
    let long = format!("guidance = \"{}\"", "x".repeat(8193));
    check(&with(&long), 5, "review.guidance", "longer");
    let spaced = LOCAL.replace("small", "a b");
    check(&spaced, 4, "review.model", "at most 128");
    let abroad = LOCAL.replace("127.0.0.1", "10.0.0.5");
    check(&abroad, 3, "review.url", "unencrypted");
    let error = try_compile(&[settings(Layer::User, &with("mode = 1"))], None).unwrap_err();
    assert!(error.to_string().contains("review.mode"), "{error}");
}

#[test]
fn a_reviewer_is_told_a_credential_that_is_there_and_fits() {
    check(&[(Layer::User, REMOTE)], "large by user");
    let fails = |text: &str, words: &str| {
        let error = try_compile(&[settings(Layer::User, text)], None).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    fails(REMOTE.split("[credentials").next().unwrap_or_default(), "[credentials.key]");
    fails(&REMOTE.replace("\"header\"\nname = \"x-api-key\"", "\"query\"\nname = \"k\""), "bearer");
}
