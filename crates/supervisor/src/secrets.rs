//! Reads secrets where the policy says they are, and keeps them out of the
//! environment of the command.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use remit_policy::{Credential, CredentialSource, Request};
use remit_proxy::{Bound, Credentials, Form, Loaded};
use rustix::fs::OFlags;

/// Why a session has not the credentials that its policy names. It does not start.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("cannot read the secret of credential `{name}`")]
    Source { name: String, source: SourceError },
    #[error("cannot use the secret of credential `{name}`")]
    Secret { name: String, source: remit_proxy::SecretError },
    #[error("cannot hold the credentials of this session")]
    Together(#[from] remit_proxy::CredentialsError),
    #[error("cannot draw placeholders: the kernel gives no randomness")]
    Randomness,
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read `{}`", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` is larger than 64 KiB, or not text; put one secret into it", .0.display())]
    NotSecret(PathBuf),
    #[error(
        "`{}` can be read or changed by others; make it yours with mode 600", .0.display()
    )]
    Open(PathBuf),
    #[error("variable `{0}` is not set, or not text; set it where `remit` is started")]
    Unset(String),
    #[error("cannot ask the keyring with `{KEYRING_TOOL}`; install the package `libsecret-tools`")]
    NoTool { source: io::Error },
    #[error(
        "the keyring has no `{service}/{account}`; store it with `secret-tool store \
         --label={service} service {service} username {account}`"
    )]
    NotInKeyring { service: String, account: String },
    #[error("the keyring did not answer for {} s; unlock it", KEYRING_PATIENCE.as_secs())]
    Locked,
}

/// Named in full, so that no directory of `PATH` can stand before it.
const KEYRING_TOOL: &str = "/usr/bin/secret-tool";

/// A keyring may ask the person for its password first.
const KEYRING_PATIENCE: Duration = Duration::from_secs(60);

const LARGEST: u64 = 64 << 10;

/// Which requests the secrets of a session are put into, as the policy in force
/// says. Every clone tells of the same session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings(Arc<RwLock<Vec<Credential>>>);

impl Bindings {
    pub(crate) fn replace(&self, named: Vec<Credential>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = named;
    }
}

/// Whether a secret that was read for one is the other's, put in the same way.
pub(crate) fn is_same(one: &Credential, other: &Credential) -> bool {
    let what = |it: &Credential| (it.name.clone(), it.source.clone(), it.uses.clone());
    what(one) == what(other) && one.expose == other.expose
}

/// One credential. It is bound to nothing once the policy names it no more, or
/// says that its secret is another.
#[derive(Debug)]
struct Binding {
    /// As it was when its secret was read.
    read: Credential,
    now: Bindings,
}

impl Bound for Binding {
    fn applies(&self, request: &Request) -> bool {
        let now = self.now.0.read().unwrap_or_else(PoisonError::into_inner);
        now.iter().any(|it| is_same(it, &self.read) && it.applies(request))
    }
}

/// Reads every secret that the policy names, and draws a placeholder for each.
pub(crate) fn load(
    named: &[Credential],
    bindings: &Bindings,
) -> Result<Credentials, CredentialError> {
    bindings.replace(named.to_vec());
    let mut loaded = Vec::new();
    for credential in named {
        let name = || credential.name.clone();
        let text = read(&credential.source)
            .map_err(|source| CredentialError::Source { name: name(), source })?;
        let form = Form::fill(&credential.uses, &text)
            .map_err(|source| CredentialError::Secret { name: name(), source })?;
        let bound = Binding { read: credential.clone(), now: bindings.clone() };
        let expose = credential.expose.clone();
        loaded.push(Loaded { name: name(), form, expose, bound: Box::new(bound) });
    }
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(|_| CredentialError::Randomness)?;
    Ok(Credentials::new(loaded, &entropy)?)
}

/// Reads one secret that Remit itself uses, and that is put into no request.
pub(crate) fn own(named: &[Credential], name: &str) -> Result<String, CredentialError> {
    let failed = |source| CredentialError::Source { name: name.to_owned(), source };
    let credential = named.iter().find(|credential| credential.name == name);
    let credential = credential.ok_or_else(|| failed(SourceError::Unset(name.to_owned())))?;
    read(&credential.source).map_err(failed)
}

/// Takes secrets out of an environment and puts placeholders in.
///
/// Where a variable that passes has a secret in its value, the placeholder stands
/// there. The policy withholds those that secrets are read from.
pub fn dress(environment: &mut Vec<(OsString, OsString)>, credentials: &Credentials) {
    let exposed = credentials.variables();
    environment.retain(|(name, _)| !exposed.iter().any(|(it, _)| name == &**it));
    for (_, value) in environment.iter_mut() {
        *value = OsString::from_vec(credentials.masked_bytes(value.as_bytes()));
    }
    environment.extend(exposed.into_iter().map(|(name, value)| (name.into(), value.into())));
    environment.sort();
}

/// Reads the text of a secret. It may have a line end after it.
fn read(source: &CredentialSource) -> Result<String, SourceError> {
    match source {
        CredentialSource::File(path) => read_file(path),
        CredentialSource::Variable(name) => {
            std::env::var(name).map_err(|_| SourceError::Unset(name.clone()))
        }
        CredentialSource::Keyring { service, account } => {
            ask_keyring(Path::new(KEYRING_TOOL), service, account, KEYRING_PATIENCE)
        }
    }
}

fn read_file(path: &Path) -> Result<String, SourceError> {
    let failed = |source| SourceError::Read { path: path.to_path_buf(), source };
    // A pipe that nobody writes to must not hold us up.
    let nonblocking = OFlags::NONBLOCK.bits() as i32;
    let opened = fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file = opened.map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        let kind = io::ErrorKind::InvalidInput;
        return Err(failed(io::Error::new(kind, "it is not a regular file")));
    }
    let ours = about.uid() == 0 || about.uid() == rustix::process::geteuid().as_raw();
    if !ours || about.mode() & 0o077 != 0 {
        return Err(SourceError::Open(path.to_path_buf()));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    let not_secret = || SourceError::NotSecret(path.to_path_buf());
    if bytes.len() as u64 > LARGEST {
        return Err(not_secret());
    }
    String::from_utf8(bytes).map_err(|_| not_secret())
}

/// SOURCE: secret-tool(1); the attributes are those of Python's and Rust's `keyring`
/// libraries, and of its own page.
fn ask_keyring(
    tool: &Path,
    service: &str,
    account: &str,
    patience: Duration,
) -> Result<String, SourceError> {
    let missing = || SourceError::NotInKeyring { service: service.into(), account: account.into() };
    // What begins so would be read as an option.
    if service.starts_with('-') || account.starts_with('-') {
        return Err(missing());
    }
    let end = Instant::now() + patience;
    for attribute in ["username", "account"] {
        let arguments = ["lookup", "service", service, attribute, account];
        if let Some(text) = run(tool, &arguments, end)? {
            return Ok(text);
        }
    }
    Err(missing())
}

/// What a program prints, if it succeeds and prints anything.
fn run(tool: &Path, arguments: &[&str], end: Instant) -> Result<Option<String>, SourceError> {
    let failed = |source| SourceError::NoTool { source };
    let mut command = Command::new(tool);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    // It prints less than a pipe holds, or it is not printing a secret: it cannot
    // block on us, or is ended below.
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if Instant::now() >= end {
            let _ = child.kill();
            child.wait().map_err(failed)?;
            return Err(SourceError::Locked);
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut text = String::new();
    if let Some(output) = child.stdout.take() {
        output.take(LARGEST).read_to_string(&mut text).map_err(failed)?;
    }
    Ok((status.success() && !text.is_empty()).then_some(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use remit_policy::{Layer, Place, Policy, PolicyText, TextKind};

    use super::*;

    fn file(directory: &Path, text: &[u8], mode: u32) -> PathBuf {
        let path = directory.join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_file_is_read_only_if_nobody_else_can() {
        let directory = tempfile::tempdir().unwrap();
        let check = |text: &[u8], mode, words: &str| {
            let read = read(&CredentialSource::File(file(directory.path(), text, mode)));
            let said = read.unwrap_or_else(|error| error.to_string());
            assert!(said.contains(words), "{said}");
        };
        check(b"abcdefghij\n", 0o600, "abcdefghij\n");
        check(b"abcdefghij\n", 0o400, "abcdefghij\n");
        check(b"abcdefghij\n", 0o640, "mode 600");
        check(b"abcdefghij\n", 0o602, "mode 600");
        check(b"abc\xff", 0o600, "not text");
        check(&[b'a'; 65 << 10], 0o600, "larger than 64 KiB");
    }

    #[test]
    fn what_is_no_file_or_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        for path in [directory.path().to_path_buf(), directory.path().join("absent")] {
            let error = read(&CredentialSource::File(path.clone())).unwrap_err();
            assert_eq!(error.to_string(), format!("cannot read `{}`", path.display()));
        }
        let error = read(&CredentialSource::Variable("REMIT_TEST_NOT_SET".into())).unwrap_err();
        assert!(error.to_string().contains("`REMIT_TEST_NOT_SET` is not set"));
    }

    /// A program in the tool's place, which answers as the script says.
    fn tool(directory: &Path, script: &str) -> PathBuf {
        let path = directory.join("tool");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    #[test]
    fn a_keyring_is_asked_by_both_names_of_an_account() {
        let directory = tempfile::tempdir().unwrap();
        let ask = |script: &str, service: &str| {
            let patience = Duration::from_secs(5);
            ask_keyring(&tool(directory.path(), script), service, "me", patience)
        };
        assert_eq!(ask("echo \"$*\"", "forge").unwrap(), "lookup service forge username me\n");
        let second = "test \"$4\" = account && echo found";
        assert_eq!(ask(second, "forge").unwrap(), "found\n");
        for (script, service) in [("exit 1", "forge"), ("exit 0", "forge"), ("echo x", "--help")] {
            let error = ask(script, service).unwrap_err();
            assert!(matches!(error, SourceError::NotInKeyring { .. }), "{error}");
        }
    }

    #[test]
    fn a_keyring_that_does_not_answer_is_not_waited_for_and_a_tool_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let tool = tool(directory.path(), "exec sleep 60");
        let error = ask_keyring(&tool, "forge", "me", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, SourceError::Locked), "{error}");
        let absent = directory.path().join("absent");
        let error = ask_keyring(&absent, "forge", "me", Duration::from_secs(5)).unwrap_err();
        assert!(error.to_string().contains("libsecret-tools"), "{error}");
    }

    /// What the policy says of credentials.
    fn named(text: &str) -> Policy {
        let text = PolicyText {
            layer: Layer::User,
            kind: TextKind::Settings,
            file: "config.toml".to_owned(),
            text: text.to_owned(),
        };
        let place = Place { home: "/home/alice".into(), workspace: "/home/alice/work".into() };
        Policy::compile(&[text], None, &crate::agents::none(), &place).unwrap()
    }

    #[test]
    fn the_environment_has_placeholders_and_no_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
        let path = file(directory.path(), secret.as_bytes(), 0o600);
        let policy = named(&format!(
            "[credentials.forge]\nsource = {{ file = \"{}\" }}\nhosts = [\"api.example.com\"]\n\
             as = \"bearer\"\nexpose = \"FORGE_TOKEN\"\n",
            path.display()
        ));
        let credentials = load(policy.credentials(), &Bindings::default()).unwrap();
        let mut environment: Vec<(OsString, OsString)> = [
            ("FORGE_TOKEN", secret.to_owned()),
            ("REMOTE", format!("https://me:{secret}@git.example/x")),
            ("PATH", "/usr/bin".to_owned()),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        dress(&mut environment, &credentials);
        let names: Vec<_> = environment.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["FORGE_TOKEN", "PATH", "REMOTE"]);
        let text = format!("{environment:?}");
        assert!(!text.contains(&secret[4..]), "{text}");
        let placeholder = &credentials.variables()[0].1;
        assert_eq!(text.matches(placeholder.as_str()).count(), 2, "{text}");
        // Another session draws another.
        let again = load(policy.credentials(), &Bindings::default()).unwrap();
        assert_ne!(again.variables(), credentials.variables());
    }

    #[test]
    fn a_secret_is_bound_as_the_policy_in_force_says() {
        let policy = |file: &str, host: &str| {
            let text = format!(
                "[credentials.forge]\nsource = {{ file = \"{file}\" }}\nhosts = [\"{host}\"]\nas = \"bearer\"\n"
            );
            named(&text).credentials().to_vec()
        };
        let bindings = Bindings::default();
        let read = policy("/secret", "one.example").remove(0);
        let binding = Binding { read, now: bindings.clone() };
        let request = |host: &str| Request {
            connect: remit_policy::Connect::parse(host).unwrap(),
            scheme: remit_policy::Scheme::Https,
            method: remit_policy::Method::parse("GET").unwrap(),
            target: remit_policy::Target::parse("/").unwrap(),
            overrides: Vec::new(),
        };
        let check = |named: Vec<Credential>, one: bool, two: bool| {
            bindings.replace(named);
            assert_eq!(binding.applies(&request("one.example:443")), one);
            assert_eq!(binding.applies(&request("two.example:443")), two);
        };
        check(policy("/secret", "one.example"), true, false);
        check(policy("/secret", "two.example"), false, true);
        // The secret that was read is another.
        check(policy("/other", "one.example"), false, false);
        check(Vec::new(), false, false);
    }

    #[test]
    fn a_credential_without_a_usable_secret_refuses_and_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = file(directory.path(), b"short", 0o600);
        let policy = |path: &Path| {
            named(&format!(
                "[credentials.forge]\nsource = {{ file = \"{}\" }}\n\
                 hosts = [\"api.example.com\"]\nas = \"bearer\"\n",
                path.display()
            ))
        };
        let error = load(policy(&path).credentials(), &Bindings::default()).unwrap_err();
        assert_eq!(error.to_string(), "cannot use the secret of credential `forge`");
        let error =
            load(policy(&directory.path().join("absent")).credentials(), &Bindings::default())
                .unwrap_err();
        assert_eq!(error.to_string(), "cannot read the secret of credential `forge`");
        assert!(load(&[], &Bindings::default()).unwrap().is_empty());
    }
}
