//! Which tiers of the boundary may be used, over all layers.

use remit_policy::{Layer, Policy, PolicyText, Tier};

use crate::common::{compile, settings, try_compile};

fn allowed(policy: &Policy) -> String {
    let names: Vec<_> = policy.tiers().allowed.iter().map(|tier| tier.name()).collect();
    names.join(" ")
}

fn tiers(layer: Layer, list: &str) -> PolicyText {
    settings(layer, &format!("[sandbox]\ntiers = [{list}]"))
}

#[track_caller]
fn check(texts: &[PolicyText], expected: &str) {
    assert_eq!(allowed(&compile(texts, None)), expected, "{texts:#?}");
}

#[test]
fn only_the_full_tier_is_allowed_unless_another_is_named() {
    check(&[], "full");
    check(&[tiers(Layer::User, "'no-namespaces', 'full'")], "full no-namespaces");
    check(&[tiers(Layer::User, "'no-landlock'")], "no-landlock");
    check(&[tiers(Layer::System, "'full', 'old-landlock'")], "full old-landlock");
}

#[test]
fn an_empty_list_permits_nothing() {
    check(&[tiers(Layer::User, "")], "");
    check(&[tiers(Layer::User, "'full'"), tiers(Layer::System, "")], "");
    check(&[tiers(Layer::Project, "")], "");
}

#[test]
fn the_systems_list_bounds_the_users() {
    let user = tiers(Layer::User, "'full', 'no-namespaces'");
    check(&[user.clone(), tiers(Layer::System, "'full', 'old-landlock'")], "full");
    check(&[user, tiers(Layer::System, "'old-landlock'")], "");
}

#[test]
fn a_project_only_takes_away() {
    check(&[tiers(Layer::Project, "'full', 'no-namespaces'")], "full");
    check(&[tiers(Layer::Project, "'no-namespaces'")], "");
    let user = tiers(Layer::User, "'full', 'no-namespaces'");
    check(&[user, tiers(Layer::Project, "'full'")], "full");
}

#[test]
fn a_profile_that_is_asked_for_chooses_within_the_systems_bounds() {
    let user = settings(
        Layer::User,
        "[sandbox]\ntiers = ['full']\n[profiles.ci.sandbox]\ntiers = ['full', 'no-landlock']",
    );
    let ci = |texts: &[PolicyText]| allowed(&compile(texts, Some("ci")));
    assert_eq!(ci(std::slice::from_ref(&user)), "full no-landlock");
    assert_eq!(ci(&[user, tiers(Layer::System, "'full'")]), "full");
}

#[test]
fn what_bounds_is_named() {
    let user = tiers(Layer::User, "'full', 'no-namespaces'");
    let policy = compile(&[user, tiers(Layer::System, "'full'")], None);
    assert_eq!(policy.tiers().basis.layer, Layer::System);
    assert_eq!(policy.tiers().basis.rule, r#"sandbox.tiers = ["full"]"#);
}

#[test]
fn an_unknown_tier_names_file_line_key_and_the_tiers_there_are() {
    let text = settings(Layer::User, "[sandbox]\nworkspace = 'write'\ntiers = ['fulll']");
    let error = try_compile(&[text], None).expect_err("a refusal").to_string();
    for part in ["user.toml", "line 3", "sandbox.tiers", "fulll", "no-namespaces"] {
        assert!(error.contains(part), "`{part}` is missing: {error}");
    }
    for wrong in ["tiers = 'full'", "tiers = [1]", "tier = ['full']"] {
        let text = settings(Layer::User, &format!("[sandbox]\n{wrong}"));
        let error = try_compile(&[text], None).expect_err("a refusal").to_string();
        assert!(error.contains("line 2") && error.contains("sandbox.tier"), "{error}");
    }
}

/// Every list there can be, as a bit set.
fn lists() -> impl Iterator<Item = String> {
    (0..1 << Tier::ALL.len()).map(|bits: u32| {
        let named = Tier::ALL.iter().enumerate().filter(|(i, _)| bits & 1 << i != 0);
        named.map(|(_, tier)| format!("'{}'", tier.name())).collect::<Vec<_>>().join(", ")
    })
}

#[test]
fn a_list_of_the_systems_or_a_projects_never_allows_more_than_somebody_chose() {
    let mut narrowed = false;
    for chosen in lists() {
        let before = compile(&[tiers(Layer::User, &chosen)], None);
        for bound in lists() {
            for layer in [Layer::System, Layer::Project] {
                let texts = [tiers(Layer::User, &chosen), tiers(layer, &bound)];
                let after = compile(&texts, None);
                assert!(after.tiers().allowed.is_subset(&before.tiers().allowed), "{texts:#?}");
                narrowed |= after.tiers().allowed != before.tiers().allowed;
            }
        }
        let alone = compile(&[tiers(Layer::Project, &chosen)], None);
        assert!(allowed(&alone) == "full" || allowed(&alone).is_empty(), "{chosen}");
    }
    assert!(narrowed, "nothing became stricter");
}
