//! Makes programs inside trust the session's authority: one certificate more in
//! every list of authorities that they read, and nothing less.
//!
//! This decides what works, not what is allowed: whatever a program inside trusts,
//! hosts are verified by the machine's own lists, outside.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use remit_proxy::trust;
use remit_sandbox::{Access, Floor, Mount, Plan};

/// Files and variables by which programs find the session's authority.
#[derive(Debug)]
pub(crate) struct Trust {
    files: BTreeMap<PathBuf, Vec<u8>>,
    variables: BTreeMap<&'static str, PathBuf>,
}

/// The lists of authorities that a machine has, by their names without links.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// In PEM, the one that others are derived from first.
    pem: Vec<PathBuf>,
    java: Vec<PathBuf>,
}

/// SOURCE: Go, `crypto/x509/root_linux.go`; and OpenSSL's own place on Debian.
const PEM: [&str; 8] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
    "/usr/lib/ssl/cert.pem",
];

/// What distributions make for all of their Java versions.
const JAVA: [&str; 4] = [
    "/etc/ssl/certs/java/cacerts",
    "/etc/pki/java/cacerts",
    "/etc/pki/ca-trust/extracted/java/cacerts",
    "/var/lib/ca-certificates/java-cacerts",
];

/// Directories with one Java in each directory: distributions', and below the home
/// SDKMAN's, IntelliJ's, Gradle's, asdf's and mise's.
const JAVAS: [&str; 2] = ["/usr/lib/jvm", "/opt/java"];
const JAVAS_AT_HOME: [&str; 5] = [
    ".sdkman/candidates/java",
    ".jdks",
    ".gradle/jdks",
    ".asdf/installs/java",
    ".local/share/mise/installs/java",
];

/// Where a Java has its list, since version 9 and before.
const IN_JAVA: [&str; 2] = ["lib/security/cacerts", "jre/lib/security/cacerts"];

/// Variables that name one list more, beside the program's own.
const ONE_MORE: [&str; 2] = [
    "NODE_EXTRA_CA_CERTS", // Node.js, Bun, and the agents made with them
    "DENO_CERT",
];

/// Variables that name the list itself, of programs that would use their own.
const INSTEAD: [&str; 8] = [
    "SSL_CERT_FILE",        // OpenSSL, Go, rustls, .NET, uv
    "REQUESTS_CA_BUNDLE",   // Python's requests, pip, poetry, conda
    "CODEX_CA_CERTIFICATE", // Codex
    "AWS_CA_BUNDLE",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "HTTPLIB2_CA_CERTS",
    "NIX_SSL_CERT_FILE",
];

/// The same, of programs that use the machine's list. Set only where that cannot
/// be covered, for these variables also outrank what a person has set for one host.
const UNCOVERED: [&str; 3] = ["CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO"];

/// Where the session's own files are in the view. The rest of `/run` is empty.
const INSIDE: &str = "/run/remit/trust";

/// Why programs inside cannot be made to trust the session's authority.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error(
        "cannot verify hosts by `{}`, which `{variable}` names: it lies in `{}`, which the agent may write to; \
         keep it elsewhere",
        list.display(),
        root.display()
    )]
    InReach { variable: &'static str, list: PathBuf, root: PathBuf },
    #[error("cannot write the session's authority into `{}`", directory.display())]
    Write { directory: PathBuf, source: io::Error },
}

/// Makes the programs of a plan trust the authority with this certificate (DER).
/// In a plan without mounts, the session's `scratch` directory, which is there
/// already, gets the files. Call it when the plan is otherwise complete.
///
/// # Errors
///
/// [`TrustError::InReach`] where the agent could choose whom we trust outside.
pub(crate) fn install(
    certificate: &[u8],
    home: &Path,
    scratch: Option<&Path>,
    plan: &mut Plan,
) -> Result<(), TrustError> {
    check_outside(|name| std::env::var_os(name), plan)?;
    let java_home = plan.environment.iter().find(|(name, _)| name == "JAVA_HOME");
    let lists = Lists::find(home, java_home.map(|(_, path)| Path::new(path)));
    let trust = Trust::in_authority(certificate, &lists, plan, scratch);
    if let Some(scratch) = scratch {
        trust
            .write()
            .map_err(|source| TrustError::Write { directory: scratch.to_path_buf(), source })?;
    }
    trust.place(plan);
    Ok(())
}

/// Refuses lists of our own environment that the agent may write to: they say which
/// hosts are genuine when the proxy asks.
fn check_outside(
    variable: impl Fn(&str) -> Option<OsString>,
    plan: &Plan,
) -> Result<(), TrustError> {
    let of_view = plan.mounts.iter().filter_map(writable_root);
    let of_floor = plan.floor.iter().filter_map(|grant| match grant {
        Floor::Write(root) => Some(root),
        _ => None,
    });
    let roots: Vec<&PathBuf> = of_view.chain(of_floor).collect();
    // SOURCE: OpenSSL, SSL_CTX_load_verify_locations(3); `rustls-native-certs` reads the same.
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        for list in variable(name).iter().flat_map(std::env::split_paths) {
            let file = list.canonicalize().unwrap_or_else(|_| list.clone());
            if let Some(root) = roots.iter().find(|root| file.starts_with(root)) {
                let root = root.to_path_buf();
                return Err(TrustError::InReach { variable: name, list, root });
            }
        }
    }
    Ok(())
}

impl Lists {
    /// The lists of this machine, and of the Java versions that a person has.
    pub(crate) fn find(home: &Path, java_home: Option<&Path>) -> Self {
        let within = |holder: PathBuf| {
            let entries = fs::read_dir(holder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path())
        };
        let holders = JAVAS.map(PathBuf::from).into_iter();
        let javas = holders
            .chain(JAVAS_AT_HOME.map(|holder| home.join(holder)))
            .flat_map(within)
            .chain(java_home.map(Path::to_path_buf));
        let of_javas = javas.flat_map(|java| IN_JAVA.map(|list| java.join(list)));
        Self {
            pem: files(PEM.map(PathBuf::from)),
            java: files(JAVA.map(PathBuf::from).into_iter().chain(of_javas)),
        }
    }
}

/// Those that are files, without links, each once.
fn files(paths: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        match path.canonicalize() {
            Ok(path) if path.is_file() && !found.contains(&path) => found.push(path),
            _ => {}
        }
    }
    found
}

impl Trust {
    /// What makes the programs of a plan trust the authority with this certificate.
    /// Without mounts, the files are for the `scratch` directory. Reads the lists;
    /// one that cannot be read stays as it is, and who uses it trusts us not.
    pub(crate) fn in_authority(
        certificate: &[u8],
        lists: &Lists,
        plan: &Plan,
        scratch: Option<&Path>,
    ) -> Self {
        let mut trust = Self { files: BTreeMap::new(), variables: BTreeMap::new() };
        if scratch.is_none() {
            trust.cover(certificate, lists, plan);
        }
        let place = scratch.map_or(INSIDE.into(), |scratch| scratch.join("trust"));
        let machine = lists.pem.first();
        let covered = machine.filter(|list| trust.files.contains_key(*list)).cloned();
        let whole = covered.or_else(|| {
            let list = fs::read(machine?).ok()?;
            Some(trust.file(&place, "authorities", trust::pem_with(&list, certificate)))
        });
        let own = trust.file(&place, "authority", trust::pem(certificate).into_bytes());
        let instead = INSTEAD.iter().chain(scratch.map(|_| &UNCOVERED).into_iter().flatten());
        let usual = ONE_MORE.iter().map(|name| (name, Some(own.clone())));
        for (name, usual) in usual.chain(instead.map(|name| (name, whole.clone()))) {
            let set = plan.environment.iter().find(|(set, _)| set == name);
            let value = match set.map(|(_, value)| Path::new(value)) {
                None => usual,
                Some(said) => said_list(said, plan).map(|mut list| {
                    list.push(certificate.to_vec());
                    let list: String = list.iter().map(|one| trust::pem(one)).collect();
                    trust.file(&place, name, list.into_bytes())
                }),
            };
            if let Some(value) = value {
                trust.variables.insert(name, value);
            }
        }
        trust
    }

    /// Covers the machine's lists with longer ones.
    fn cover(&mut self, certificate: &[u8], lists: &Lists, plan: &Plan) {
        let read = |path: &PathBuf| fs::read(path).ok().filter(|_| can_cover(plan, path));
        for path in &lists.pem {
            if let Some(list) = read(path) {
                self.files.insert(path.clone(), trust::pem_with(&list, certificate));
            }
        }
        let now = SystemTime::now();
        let machine = || self.files.values().next().map(|list| trust::certificates(list));
        let longer = |list: &[u8]| {
            trust::java_with(list, certificate, now).or_else(|| {
                // In another form it gives way to the machine's, which has ours by now.
                machine().map(|all| trust::java(all.iter().map(Vec::as_slice), now))
            })
        };
        let java = lists.java.iter().filter_map(|path| Some((path.clone(), longer(&read(path)?)?)));
        self.files.extend(java.collect::<Vec<_>>());
    }

    fn file(&mut self, place: &Path, name: &str, text: Vec<u8>) -> PathBuf {
        let path = place.join(format!("{name}.pem"));
        self.files.insert(path.clone(), text);
        path
    }

    /// Puts it into the plan: mounts, where the plan has them, and variables.
    pub(crate) fn place(&self, plan: &mut Plan) {
        if plan.tier.has_namespaces() {
            let text = |(path, text): (&PathBuf, &Vec<u8>)| Mount::Text {
                path: path.clone(),
                text: text.clone(),
            };
            plan.mounts.extend(self.files.iter().map(text));
        }
        plan.environment.retain(|(set, _)| !self.variables.keys().any(|name| set == name));
        let variable = |(name, path): (&&str, &PathBuf)| (OsString::from(name), path.into());
        plan.environment.extend(self.variables.iter().map(variable));
        plan.environment.sort();
    }

    /// Writes the files, for a plan without mounts.
    pub(crate) fn write(&self) -> io::Result<()> {
        for (path, text) in &self.files {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            fs::write(path, text)?;
        }
        Ok(())
    }
}

/// The certificates in the list that a variable names, and nothing else that may
/// stand there. `None` for a directory, which cannot be added to. What is hidden
/// inside, or is not there, is an empty list.
fn said_list(path: &Path, plan: &Plan) -> Option<Vec<Vec<u8>>> {
    /// Several times what all authorities of the world take, in bytes.
    const MOST: u64 = 16 << 20;
    let Ok(path) = path.canonicalize() else { return Some(Vec::new()) };
    if path.is_dir() {
        return None;
    }
    let mut list = Vec::new();
    if path.is_file() && !is_hidden(plan, &path) {
        // One that cannot be read says nothing to programs inside either.
        let _ = fs::File::open(&path).and_then(|file| file.take(MOST).read_to_end(&mut list));
    }
    Some(trust::certificates(&list))
}

/// Whether a file is one that everybody inside may read and nobody may write, so
/// that showing a longer one in its place shows nothing new.
fn can_cover(plan: &Plan, path: &Path) -> bool {
    let is_private = |mount: &Mount| matches!(mount, Mount::Private { path: root, .. } if path.starts_with(root));
    let is_writable =
        |mount: &Mount| writable_root(mount).is_some_and(|root| path.starts_with(root));
    let is_theirs = |mount| is_private(mount) || is_writable(mount);
    !plan.mounts.iter().any(is_theirs) && !is_hidden(plan, path)
}

/// What of the host a mount lets the agent write to.
fn writable_root(mount: &Mount) -> Option<&PathBuf> {
    match mount {
        Mount::Host { path, access: Access::Write } | Mount::Overlay { path, .. } => Some(path),
        _ => None,
    }
}

fn is_hidden(plan: &Plan, path: &Path) -> bool {
    plan.mounts.iter().any(
        |mount| matches!(mount, Mount::Hidden { path: hidden, .. } if path.starts_with(hidden)),
    )
}

#[cfg(test)]
mod tests;
