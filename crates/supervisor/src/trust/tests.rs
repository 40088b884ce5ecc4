use remit_policy::{Basis, Filesystem, Git, PathRule, Roots};
use remit_proxy::Authority;
use remit_sandbox::Tier;

use super::*;
use crate::plan::{self, Command};

/// A machine with lists, and a person's home that has a key beside a list.
struct Machine {
    directory: tempfile::TempDir,
    lists: Lists,
    certificate: Vec<u8>,
}

fn authority() -> Vec<u8> {
    Authority::new(SystemTime::now()).expect("an authority").certificate().to_vec()
}

fn machine() -> Machine {
    // Not in `/tmp`, where a session sees its own.
    let home = std::env::home_dir().expect("a home");
    let directory = tempfile::tempdir_in(home).expect("a directory");
    let root = directory.path().canonicalize().expect("a path");
    for holder in ["etc", "jdk/lib/security", "new/lib/security", "w", "hidden"] {
        fs::create_dir_all(root.join(holder)).expect("a directory");
    }
    let pem = root.join("etc/bundle.crt");
    fs::write(&pem, trust::pem(&authority())).expect("a list");
    let java = root.join("jdk/lib/security/cacerts");
    fs::write(&java, trust::java([&authority()[..]], SystemTime::now())).expect("a list");
    let sealed = root.join("new/lib/security/cacerts");
    fs::write(&sealed, b"\x30\x82\x01\x00").expect("a list in another form");
    let lists = Lists { pem: vec![pem], java: vec![java, sealed] };
    Machine { directory, lists, certificate: authority() }
}

impl Machine {
    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().expect("a path").join(name)
    }

    fn plan(&self, environment: &[(&str, &Path)]) -> Plan {
        let basis = Basis::built_in("a rule");
        let hidden = PathRule { path: self.at("hidden"), basis: basis.clone() };
        let files = Filesystem {
            workspace: remit_policy::Access::Write,
            workspace_basis: basis.clone(),
            write: Vec::new(),
            hidden: vec![hidden],
            protected: Vec::new(),
            git: Git::Commit,
            git_basis: basis,
            unwritable: Vec::new(),
        };
        let command = Command {
            program: "/bin/true".into(),
            argv: vec!["true".into()],
            directory: self.at("w"),
            environment: environment
                .iter()
                .map(|(name, path)| (name.into(), path.into()))
                .collect(),
        };
        plan::lower(&files, &self.at("w"), &Roots::default(), None, command)
    }

    fn trust(&self, plan: &Plan, scratch: Option<&Path>) -> Trust {
        Trust::in_authority(&self.certificate, &self.lists, plan, scratch)
    }
}

impl Trust {
    fn text(&self, path: &Path) -> Vec<u8> {
        self.files.get(path).cloned().unwrap_or_default()
    }

    /// How many certificates the list has that a variable names.
    fn named(&self, name: &str) -> Option<usize> {
        Some(trust::certificates(&self.text(self.variables.get(name)?)).len())
    }
}

#[test]
fn every_list_has_one_more_and_variables_lead_there() {
    let machine = machine();
    let mut plan = machine.plan(&[]);
    let trust = machine.trust(&plan, None);
    let pem = trust.text(&machine.lists.pem[0]);
    assert!(pem.starts_with(&fs::read(&machine.lists.pem[0]).expect("a list")));
    assert_eq!(trust::certificates(&pem)[1], machine.certificate);
    for java in &machine.lists.java {
        let list = trust.text(java);
        assert_eq!(list[8..12], [0, 0, 0, 2], "two entries in {}", java.display());
        let ours = machine.certificate.as_slice();
        assert!(list.windows(ours.len()).any(|window| window == ours));
    }
    assert_eq!(trust.named("SSL_CERT_FILE"), Some(2));
    assert_eq!(trust.named("NODE_EXTRA_CA_CERTS"), Some(1));
    assert_eq!(trust.named("GIT_SSL_CAINFO"), None, "its list is covered");
    trust.place(&mut plan);
    let variable = (OsString::from("SSL_CERT_FILE"), machine.lists.pem[0].clone().into());
    assert!(plan.environment.contains(&variable));
    let covers =
        |mount: &Mount| matches!(mount, Mount::Text { path, .. } if *path == machine.lists.pem[0]);
    assert!(plan.mounts.iter().any(covers));
}

#[test]
fn a_list_that_the_person_named_stays_and_gives_nothing_else_away() {
    let machine = machine();
    let (own, key) = (machine.at("own.pem"), machine.at("hidden/list.pem"));
    let secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\npassword\n";
    fs::write(&own, format!("{}{secret}", trust::pem(&authority()))).expect("a list");
    fs::write(&key, trust::pem(&authority())).expect("a list");
    std::os::unix::fs::symlink(&key, machine.at("w/link")).expect("a link");
    let plan = machine.plan(&[
        ("REQUESTS_CA_BUNDLE", &own),
        ("NODE_EXTRA_CA_CERTS", &own),
        ("AWS_CA_BUNDLE", &machine.at("w/link")),
        ("HTTPLIB2_CA_CERTS", &machine.at("missing")),
        ("SSL_CERT_FILE", Path::new("/dev/zero")),
        ("DENO_CERT", &machine.at("etc")),
    ]);
    let trust = machine.trust(&plan, None);
    assert_eq!(trust.named("REQUESTS_CA_BUNDLE"), Some(2), "its own, not the machine's");
    assert_eq!(trust.named("NODE_EXTRA_CA_CERTS"), Some(2));
    assert_eq!(trust.named("AWS_CA_BUNDLE"), Some(1), "hidden");
    assert_eq!(trust.named("HTTPLIB2_CA_CERTS"), Some(1));
    assert_eq!(trust.named("SSL_CERT_FILE"), Some(1));
    assert_eq!(trust.named("DENO_CERT"), None, "a directory cannot be added to");
    for (path, text) in &trust.files {
        let text = String::from_utf8_lossy(text);
        assert!(!text.contains("c2VjcmV0") && !text.contains("password"), "{}", path.display());
    }
}

#[test]
fn what_is_hidden_or_writable_inside_is_not_covered() {
    let mut machine = machine();
    let (hidden, own) = (machine.at("hidden/bundle.crt"), machine.at("w/bundle.crt"));
    for path in [&hidden, &own] {
        fs::write(path, trust::pem(&authority())).expect("a list");
    }
    machine.lists.pem.extend([hidden.clone(), own.clone()]);
    let trust = machine.trust(&machine.plan(&[]), None);
    assert!(!trust.files.contains_key(&hidden) && !trust.files.contains_key(&own));
}

#[test]
fn without_mounts_variables_lead_to_the_scratch_directory() {
    let machine = machine();
    let scratch = machine.at("scratch");
    let mut plan = Plan { tier: Tier::NoNamespaces, ..machine.plan(&[]) };
    let mounts = plan.mounts.clone();
    let trust = machine.trust(&plan, Some(&scratch));
    trust.write().expect("written");
    trust.place(&mut plan);
    assert_eq!(plan.mounts, mounts);
    for name in INSTEAD.iter().chain(&UNCOVERED).chain(&ONE_MORE) {
        let path = &trust.variables[name];
        assert!(path.starts_with(&scratch) && fs::read(path).expect("there") == trust.files[path]);
    }
    assert_eq!(trust.named("GIT_SSL_CAINFO"), Some(2));
}

#[test]
fn the_agent_does_not_choose_whom_we_trust_outside() {
    let machine = machine();
    let plan = machine.plan(&[]);
    fs::write(machine.at("w/own.pem"), "").expect("a list");
    std::os::unix::fs::symlink(machine.at("w/own.pem"), machine.at("etc/link")).expect("a link");
    let check = |name: &str, paths: &[&str], expected: bool| {
        let value = std::env::join_paths(paths.iter().map(|path| machine.at(path))).expect("paths");
        let checked = check_outside(|asked| (asked == name).then(|| value.clone()), &plan);
        assert_eq!(checked.is_ok(), expected, "{name} {paths:?} {checked:?}");
    };
    check("SSL_CERT_FILE", &["etc/bundle.crt"], true);
    check("SSL_CERT_FILE", &["w/own.pem"], false);
    check("SSL_CERT_FILE", &["w/missing.pem"], false);
    check("SSL_CERT_FILE", &["etc/link"], false);
    check("SSL_CERT_DIR", &["etc"], true);
    check("SSL_CERT_DIR", &["etc", "w"], false);
    check("ANOTHER", &["w/own.pem"], true);
}
