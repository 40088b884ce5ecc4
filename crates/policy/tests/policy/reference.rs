//! The examples of the policy reference.

use crate::common::{compile, connect, request, settings, words};
use remit_policy::{Grants, Layer};

/// The reference, whose examples are promises.
const REFERENCE: &str = include_str!("../../../../docs/reference/policy.md");

#[test]
fn every_example_of_the_reference_loads() {
    let examples: Vec<_> = REFERENCE
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(examples.len() >= 5, "{examples:#?}");
    for example in examples {
        compile(&[settings(Layer::System, example)], None);
    }
}

#[test]
fn the_administrators_example_does_what_the_reference_says() {
    let example = REFERENCE.split("```toml\n").find(|text| text.contains("acme.example"));
    let example = example.and_then(|text| text.split("```").next()).expect("the example");
    let policy = compile(&[settings(Layer::System, example)], None);
    let said = |program: &str, text: &str| {
        let mut request = request(text);
        request.connect.program = Some(program.into());
        words(&policy.request(request, &Grants::default()))
    };
    let forge = |path: &str| format!("POST https://forge.acme.example{path}");
    let git = "/usr/lib/git-core/git-remote-http";
    assert_eq!(said(git, &forge("/acme/app/git-upload-pack")), "allow by system");
    assert_eq!(said(git, &forge("/acme/app/git-receive-pack")), "allow by system");
    assert_eq!(said(git, &forge("/other/app/git-receive-pack")), "ask by system");
    assert_eq!(said("/usr/bin/curl", &forge("/acme/app/git-receive-pack")), "ask by system");
    assert_eq!(said("/usr/bin/curl", "GET https://forge.acme.example/x"), "allow by system");
    assert_eq!(said("/usr/bin/node", "PUT https://any.example/x"), "refuse by system");
    let [token] = policy.credentials() else { panic!("one credential") };
    assert!(token.applies(&request("GET https://forge.acme.example/acme/app")));
    assert!(!token.applies(&request("GET https://forge.acme.example/other/app")));
    let ssh = policy.handling(&connect("forge.acme.example:22")).ssh.expect("commands");
    assert_eq!(Vec::from_iter(ssh), ["git-upload-pack"]);
    let to = connect("forge.acme.example");
    let caps = policy.upload_caps(&to).into_iter().map(|(cap, _)| cap);
    assert_eq!(caps.collect::<Vec<_>>(), [20 << 20]);
}
