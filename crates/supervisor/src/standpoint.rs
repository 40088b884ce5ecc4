//! Where a session would start from, with its policy and without anything started:
//! what `remit explain` and `remit policy` look from, and [`crate::prepare`] as well.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use remit_policy::{
    Basis, Change, Exec, FileWrite, Filesystem, Place, Policy, PolicyError, PolicyText, Refusal,
    Statement, Verdict, Writing,
};

use crate::agents::{self, Adapter};
use crate::files::{self, Loaded, Places};
use crate::live::Purpose;
use crate::session::RunError;
use crate::{plan, prepare, repository, workspace};

/// Whose policy is looked at, and for which run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The workspace; the current directory if absent.
    pub directory: Option<PathBuf>,
    /// A profile's name; `default` if absent.
    pub profile: Option<String>,
    /// What the session's command would be called, such as `codex`. An agent that
    /// is known has needs of its own.
    pub agent: Option<OsString>,
}

/// A workspace with the policy that holds in it.
#[derive(Debug)]
pub struct Standpoint {
    pub places: Places,
    pub workspace: PathBuf,
    pub policy: Policy,
    pub(crate) loaded: Loaded,
    pub(crate) purpose: Purpose,
    pub(crate) agent: Option<&'static Adapter>,
}

impl Standpoint {
    /// Reads every text that applies and combines them. Starts and changes nothing.
    ///
    /// # Errors
    ///
    /// The same for which a session there would not start.
    pub fn take(view: View) -> Result<Self, RunError> {
        let places = Places::from_environment()?;
        let directory = view.directory.unwrap_or_else(|| PathBuf::from("."));
        let workspace = workspace::check(&directory, &places)?;
        let agent = view.agent.as_deref().and_then(agents::adapter);
        let loaded = files::load(&places, &workspace)?;
        let needs = agent.map_or_else(agents::none, |agent| agent.needs(&places.home));
        let place = Place { home: places.home.clone(), workspace: workspace.clone() };
        let hooks = repository::hooks(&workspace, &places.home);
        let purpose = Purpose { profile: view.profile, needs, place, hooks };
        let policy = purpose.compile(&loaded.texts)?;
        Ok(Self { places, workspace, policy, loaded, purpose, agent })
    }

    /// The texts that the policy was made of.
    pub fn texts(&self) -> &[PolicyText] {
        &self.loaded.texts
    }

    pub fn place(&self) -> &Place {
        &self.purpose.place
    }

    /// The agent's name, or `command` where it is none that is known.
    pub fn agent(&self) -> &'static str {
        self.agent.map_or("command", |agent| agent.name)
    }

    /// The policy that other texts would amount to here.
    pub fn compile(&self, texts: &[PolicyText]) -> Result<Policy, PolicyError> {
        self.purpose.compile(texts)
    }

    /// Everything that the texts say, and what of it is in force.
    pub fn statements(&self) -> Result<Vec<Statement>, PolicyError> {
        self.purpose.statements(&self.policy, &self.loaded.texts)
    }

    /// Where a session here finds programs: as called, and links followed.
    pub fn programs(&self) -> impl Fn(&OsStr, &Path) -> Option<(PathBuf, PathBuf)> + use<> {
        let environment = prepare::environment(&self.policy, &self.places, self.agent);
        move |name, cwd| {
            let path = prepare::find(name, cwd, &environment).ok()?;
            let file = path.canonicalize().ok()?;
            Some((path, file))
        }
    }

    /// The program that a session here would find for `argv`, as it would be judged
    /// at its start. Variables that change what programs do are those of a session.
    /// One that is not there is judged by its name.
    ///
    /// # Errors
    ///
    /// If there is no command.
    pub fn exec(&self, argv: Vec<OsString>) -> Result<Exec, RunError> {
        let first = argv.first().ok_or(RunError::NoCommand)?;
        let environment = prepare::environment(&self.policy, &self.places, self.agent);
        let found = prepare::find(first, &self.workspace, &environment);
        let path = found.unwrap_or_else(|_| PathBuf::from(first));
        let telling = |(name, _): &(OsString, OsString)| self.policy.minds(name);
        Ok(Exec {
            program: path.canonicalize().ok(),
            path,
            cwd: self.workspace.clone(),
            environment: environment.into_iter().filter(telling).collect(),
            argv,
            ..Exec::default()
        })
    }

    /// Whether a program inside could read this path, relative to the workspace.
    pub fn read(&self, path: &Path) -> Result<Basis, Refusal> {
        let path = self.absolute(path);
        match self.hiding(&path) {
            Some(basis) => Err(Refusal {
                attempt: format!("read `{}`", show(&path)),
                basis,
                instead: None,
                note: None,
            }),
            None if plan::is_under_own(&path) && !self.is_shown(&path) => {
                Ok(Basis::built_in("files: the session has a directory of its own there"))
            }
            None => Ok(Basis::built_in("files: readable as far as the person may")),
        }
    }

    /// What a session would say to making this path, or opening it for writing.
    pub fn write(&self, path: &Path) -> Verdict<FileWrite> {
        let path = self.absolute(path);
        let change = if path.is_dir() { Change::MakeDirectory } else { Change::Write };
        let attempt = FileWrite { path: path.clone(), change };
        if let Some(basis) = self.hiding(&path) {
            use remit_policy::attempt::Attempt as _;
            let attempt = attempt.summary();
            return Verdict::Refuse(Refusal { attempt, basis, instead: None, note: None });
        }
        let needs = &self.purpose.needs.write;
        let roots = plan::roots(self.policy.filesystem(), &self.workspace, needs, None);
        Writing::new(self.policy.filesystem(), roots).judge(attempt)
    }

    /// The path without links, as far as it is there.
    fn absolute(&self, path: &Path) -> PathBuf {
        let path = match path.strip_prefix("~") {
            Ok(rest) => self.places.home.join(rest),
            Err(_) => self.workspace.join(path),
        };
        plan::without_links(&path)
    }

    fn hiding(&self, path: &Path) -> Option<Basis> {
        let files: &Filesystem = self.policy.filesystem();
        let covers = |hidden: &Path| path.starts_with(plan::without_links(hidden));
        files.hidden.iter().find(|rule| covers(&rule.path)).map(|rule| rule.basis.clone())
    }

    /// Whether the host's own directory is shown where the session has others.
    fn is_shown(&self, path: &Path) -> bool {
        path.starts_with(&self.workspace)
            || plan::writable(self.policy.filesystem(), &self.workspace)
                .iter()
                .any(|root| path.starts_with(root))
    }
}

fn show(path: &Path) -> String {
    remit_policy::show::line(&path.to_string_lossy())
}
