//! `remit check`: what is wrong with policy files, all of it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use remit_policy::{AgentNeeds, Layer, Place, Policy, PolicyText, TextKind};
use remit_supervisor::Places;
use remit_supervisor::files::{self, LoadError};
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Rules (`*.rules`) and settings (`*.toml`), looked at together. Below
    /// `/etc/remit` they are the system's, in a `.remit` the project's, else your own.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The workspace; the current directory if absent.
    #[arg(short = 'C', long = "directory", value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// The profile under which statements are brought together.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// For programs.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("cannot find the workspace `{}`", path.display())]
    Workspace { path: PathBuf, source: io::Error },
    #[error("`{}` is neither a `.rules` nor a `.toml` file; name it as one", .0.display())]
    Unknown(PathBuf),
    #[error("cannot write to standard output")]
    Output(#[from] io::Error),
}

/// Something wrong, and where as far as it is known.
struct Problem {
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    message: String,
}

pub(crate) fn run(check: &Check, places: &Places) -> Result<ExitCode, CheckError> {
    let workspace = check
        .directory
        .canonicalize()
        .map_err(|source| CheckError::Workspace { path: check.directory.clone(), source })?;
    let (texts, mut problems) = match check.files.is_empty() {
        true => layers(places, &workspace),
        false => named(&check.files, places, &workspace)?,
    };
    let place = Place { home: places.home.clone(), workspace };
    let profile = check.profile.as_deref();
    let found = Policy::problems(&texts, profile, &AgentNeeds::default(), &place);
    problems.extend(found.iter().map(|error| {
        let (file, line, column) = error.place();
        Problem { file: file.map(str::to_owned), line, column, message: error.to_string() }
    }));
    tell(check.json, &texts, &problems)?;
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The texts of all layers, as a session would load them.
fn layers(places: &Places, workspace: &Path) -> (Vec<PolicyText>, Vec<Problem>) {
    match files::load(places, workspace) {
        Ok(loaded) => (loaded.texts, Vec::new()),
        Err(error) => (Vec::new(), vec![unreadable(&error)]),
    }
}

fn unreadable(error: &LoadError) -> Problem {
    let mut message = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        message.push_str(&format!(": {cause}"));
    }
    let file = match error {
        LoadError::Read { path, .. } | LoadError::Answers { path, .. } => path,
        LoadError::NoPolicy(path)
        | LoadError::TooLarge(path)
        | LoadError::NotText(path)
        | LoadError::Open(path) => path,
    };
    Problem { file: Some(file.display().to_string()), line: None, column: None, message }
}

/// These files alone. One that cannot be read is a problem like another.
fn named(
    files: &[PathBuf],
    places: &Places,
    workspace: &Path,
) -> Result<(Vec<PolicyText>, Vec<Problem>), CheckError> {
    let (mut texts, mut problems) = (Vec::new(), Vec::new());
    for path in files {
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("rules") => TextKind::Rules,
            Some("toml") => TextKind::Settings,
            _ => return Err(CheckError::Unknown(path.clone())),
        };
        match fs::read_to_string(path) {
            Ok(text) => {
                let file = remit_policy::show::line(&path.to_string_lossy());
                let layer = layer(path, places, workspace);
                texts.push(PolicyText { layer, kind, file, text });
            }
            Err(source) => {
                problems.push(unreadable(&LoadError::Read { path: path.clone(), source }))
            }
        }
    }
    Ok((texts, problems))
}

/// Whose file it is, by where it lies.
fn layer(path: &Path, places: &Places, workspace: &Path) -> Layer {
    let path = path.canonicalize().unwrap_or_else(|_| workspace.join(path));
    let is_projects = path.ancestors().any(|above| above.file_name() == Some(".remit".as_ref()));
    match path.starts_with(&places.system) {
        true => Layer::System,
        false if is_projects => Layer::Project,
        false => Layer::User,
    }
}

fn tell(as_json: bool, texts: &[PolicyText], problems: &[Problem]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        let file = |text: &PolicyText| json!({ "file": text.file, "layer": text.layer });
        let problem = |p: &Problem| -> Value {
            let Problem { file, line, column, message } = p;
            json!({ "file": file, "line": line, "column": column, "message": message })
        };
        let told = json!({
            "files": texts.iter().map(file).collect::<Vec<_>>(),
            "problems": problems.iter().map(problem).collect::<Vec<_>>(),
        });
        return writeln!(out, "{told:#}");
    }
    for problem in problems {
        writeln!(out, "{}", problem.message)?;
    }
    crate::say::line(&match (texts.len(), problems.len()) {
        (0, 0) => "remit: no policy file; what is built in holds".to_owned(),
        (files, 0) => format!("remit: {}, nothing wrong", counted(files, "policy file")),
        (_, problems) => format!("remit: {}", counted(problems, "problem")),
    });
    Ok(())
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
