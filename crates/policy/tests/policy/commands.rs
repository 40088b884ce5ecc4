//! Which commands may run.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use crate::common::{check_exec, compile, exec, rules, settings};
use remit_policy::{Grant, Grants, Layer, Verdict};

const NO_PUSH: &str = r#"
prefix_rule(
    pattern = ["git", "push"],
    decision = "forbidden",
    match = ["git push", "git push origin main", ["/usr/bin/git", "push"]],
    not_match = ["git status", "git -C x push", "gitpush"],
)
"#;

#[test]
fn git_push_is_forbidden_however_git_is_reached() {
    let policy = compile(&[rules(Layer::User, NO_PUSH)], None);
    check_exec(&policy, "/usr/bin/git /usr/bin/git git push", "refuse by user");
    check_exec(&policy, "/usr/bin/git - git push origin main", "refuse by user");
    check_exec(&policy, "/usr/lib/git-core/git - git push", "refuse by user");
    check_exec(&policy, "./link /usr/bin/git ./link push", "refuse by user");
    check_exec(&policy, "/tmp/copy /tmp/copy git push", "refuse by user");
    check_exec(&policy, "/proc/self/fd/7 - /opt/x/git push", "refuse by user");
    check_exec(&policy, "git - x push", "refuse by user");
    check_exec(&policy, "bin/git/ - x push", "refuse by user");
    check_exec(&policy, "/usr/bin/git /usr/bin/git git status", "allow by built-in");
    check_exec(&policy, "/usr/bin/git /usr/bin/git git pushy", "allow by built-in");
    check_exec(&policy, "/usr/bin/git /usr/bin/git git", "allow by built-in");
    check_exec(&policy, "/usr/bin/env /usr/bin/env env git push", "allow by built-in");
    check_exec(&policy, "/usr/bin/gitk - gitk push", "allow by built-in");
}

#[test]
fn a_program_with_a_slash_is_that_path_alone() {
    let policy = compile(
        &[rules(
            Layer::User,
            r#"prefix_rule(pattern=["/usr/bin/git", ["push", "fetch"]], decision="prompt")
prefix_rule(pattern=["/home/alice/proj/tool"], decision="forbidden")"#,
        )],
        None,
    );
    check_exec(&policy, "/usr/bin/git - git push", "ask by user");
    check_exec(&policy, "/usr//bin/./git - git fetch", "ask by user");
    check_exec(&policy, "/tmp/link /usr/bin/git git fetch", "ask by user");
    check_exec(&policy, "/usr/local/bin/git /usr/local/bin/git git push", "allow by built-in");
    check_exec(&policy, "tool - tool", "refuse by user");
    check_exec(&policy, "./tool - tool", "refuse by user");
}

#[test]
fn the_strictest_rule_of_all_layers_wins() {
    let rule = |pattern: &str, decision: &str| {
        format!("prefix_rule(pattern={pattern}, decision='{decision}')\n")
    };
    let policy = compile(
        &[
            rules(
                Layer::User,
                &(rule("['a']", "allow") + &rule("['b']", "forbidden") + &rule("['c']", "allow")),
            ),
            rules(
                Layer::System,
                &(rule("['a', 'x']", "forbidden")
                    + &rule("['b']", "allow")
                    + &rule("['c']", "prompt")),
            ),
            rules(Layer::Project, &(rule("['a', 'y']", "prompt") + &rule("['b']", "allow"))),
        ],
        None,
    );
    check_exec(&policy, "/bin/a - a", "allow by user");
    check_exec(&policy, "/bin/a - a x", "refuse by system");
    check_exec(&policy, "/bin/a - a y", "ask by project");
    check_exec(&policy, "/bin/b - b", "refuse by user");
    check_exec(&policy, "/bin/c - c", "ask by system");
}

#[test]
fn a_project_can_neither_allow_nor_turn_a_refusal_into_a_question() {
    let policy = compile(
        &[
            settings(Layer::User, "[commands]\ndefault = 'forbidden'"),
            rules(Layer::Project, "prefix_rule(['ls'])\nprefix_rule(['cat'], 'prompt')"),
        ],
        None,
    );
    check_exec(&policy, "/bin/ls - ls", "refuse by user");
    check_exec(&policy, "/bin/cat - cat", "refuse by user");
}

#[test]
fn a_forbidding_system_is_not_undone_by_the_users_rules() {
    let policy = compile(
        &[
            settings(Layer::System, "[commands]\ndefault = 'forbidden'"),
            rules(Layer::System, "prefix_rule(['ls'])"),
            rules(Layer::User, "prefix_rule(['cat'])\nprefix_rule(['sed'], 'prompt')"),
        ],
        None,
    );
    check_exec(&policy, "/bin/ls - ls", "allow by system");
    check_exec(&policy, "/bin/cat - cat", "refuse by system");
    check_exec(&policy, "/bin/sed - sed", "refuse by system");
}

#[test]
fn a_name_that_the_caller_made_up_brings_no_permission() {
    let policy = compile(
        &[
            settings(Layer::User, "[commands]\ndefault = 'prompt'"),
            rules(
                Layer::User,
                "prefix_rule(['ls'])\nprefix_rule(['cat'])\nhost_executable('cat', ['/bin/cat'])",
            ),
        ],
        None,
    );
    check_exec(&policy, "/bin/ls - ls", "allow by user");
    check_exec(&policy, "/tmp/evil /tmp/evil ls", "ask by user");
    check_exec(&policy, "/bin/cat /bin/cat cat", "allow by user");
    check_exec(&policy, "/tmp/cat /tmp/cat cat", "ask by user");
    check_exec(&policy, "/bin/cat /tmp/evil cat", "ask by user");
}

#[test]
fn a_yes_covers_the_same_command_and_never_a_forbidden_one() {
    let text = format!("{NO_PUSH}\nprefix_rule(['make'], 'prompt')");
    let policy = compile(&[rules(Layer::User, &text)], None);
    let mut grants = Grants::default();
    for line in ["/bin/make - make all", "/bin/git - git push"] {
        grants.add(Grant::from(&exec(line)));
    }
    let check = |line: &str, expected: &str| {
        assert_eq!(crate::common::words(&policy.exec(exec(line), &grants)), expected, "{line}");
    };
    check("/bin/make - make all", "allow by answer");
    check("/bin/make - make install", "ask by user");
    check("/bin/git - git push", "refuse by user");
}

#[test]
fn a_refusal_says_where_the_rule_stands_and_what_to_do_instead() {
    let text = "prefix_rule(['git', 'push'], 'forbidden')\nprefix_rule(['rm'], 'forbidden', justification = 'Use trash.')";
    let policy = compile(&[rules(Layer::System, text)], None);
    let shown = |line| match policy.exec(exec(line), &Grants::default()) {
        Verdict::Refuse(refusal) => refusal.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        shown("/usr/bin/git - git push --force"),
        "refused: run `git push --force`\n  by `forbidden git push` (system, system.rules line 1)\n  \
         allowed instead: other `git` commands"
    );
    assert_eq!(
        shown("/bin/rm - rm -rf x"),
        "refused: run `rm -rf x`\n  by `forbidden rm` (system, system.rules line 2)\n  because: Use trash."
    );
}

#[test]
fn whatever_the_kernel_hands_over_is_judged() {
    let policy = compile(&[rules(Layer::User, NO_PUSH)], None);
    let mut strange = exec("/usr/bin/git -");
    strange.argv = Vec::new();
    assert_eq!(
        crate::common::words(&policy.exec(strange.clone(), &Grants::default())),
        "allow by built-in"
    );
    strange.path = OsString::from_vec(vec![0, 0xff, b'/', b'/']).into();
    strange.argv = vec![OsString::from_vec(vec![0xff]), OsString::from("push")];
    assert_eq!(
        crate::common::words(&policy.exec(strange.clone(), &Grants::default())),
        "allow by built-in"
    );
    strange.path = "".into();
    strange.argv = vec!["git".into(), "push".into()];
    assert_eq!(crate::common::words(&policy.exec(strange, &Grants::default())), "refuse by user");
}
