//! Where things are, and reading policy texts from disk.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use remit_policy::{Layer, PolicyText, TextKind};
use rustix::fs::OFlags;

use crate::answers::{self, Answers};

/// The directories of one person on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    pub home: PathBuf,
    /// `~/.config/remit`: the user's policy.
    pub config: PathBuf,
    /// `~/.local/state/remit`: records, keys, approval sockets. Hidden inside.
    pub state: PathBuf,
    /// `/etc/remit`: the administrator's policy.
    pub system: PathBuf,
}

/// Why the places cannot be named.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    #[error("HOME is not set; set it to your home directory")]
    NoHome,
    #[error("HOME is `{}`, which is not the absolute path of a directory; set it to your home directory", .0.display())]
    BadHome(PathBuf),
}

impl Places {
    /// From `HOME` of our own environment.
    pub fn from_environment() -> Result<Self, PlacesError> {
        let home =
            std::env::var_os("HOME").filter(|home| !home.is_empty()).ok_or(PlacesError::NoHome)?;
        let given = PathBuf::from(home);
        let home = given
            .canonicalize()
            .ok()
            .filter(|home| given.is_absolute() && home.is_dir() && home.parent().is_some())
            .ok_or(PlacesError::BadHome(given))?;
        Ok(Self {
            config: home.join(".config/remit"),
            state: home.join(".local/state/remit"),
            system: PathBuf::from("/etc/remit"),
            home,
        })
    }
}

/// Why a policy text could not be read. It never means "no rules".
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read policy `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "there is no policy in `{}`; name a file ending in `.rules` or `.toml`, or a directory with `config.toml` or `rules/`",
        .0.display()
    )]
    NoPolicy(PathBuf),
    #[error("policy `{}` is larger than 1 MiB; split it", .0.display())]
    TooLarge(PathBuf),
    #[error("policy `{}` is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    #[error(
        "policy `{}` could be changed by others than root; make it owned by root and not writable by group or others",
        .0.display()
    )]
    Open(PathBuf),
    #[error("answers `{}` line {line}: {why}", path.display())]
    Answers { path: PathBuf, line: usize, why: String },
}

/// A text larger than this is no policy.
const LARGEST: u64 = 1 << 20;

/// Policy as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    pub texts: Vec<PolicyText>,
    /// The files of the system and the user, which no agent may write to.
    pub trusted: Vec<PathBuf>,
}

/// Every policy text that applies: system, user, and the workspace's own.
/// What is not there is not there; what is there and cannot be read is an error.
pub fn load(places: &Places, workspace: &Path) -> Result<Loaded, LoadError> {
    let mut loaded = Loaded::default();
    load_layer(Layer::System, &places.system, &mut loaded)?;
    load_layer(Layer::User, &places.config, &mut loaded)?;
    load_layer(Layer::Project, &workspace.join(".remit"), &mut loaded)?;
    loaded.narrow_answers(places, workspace)?;
    Ok(loaded)
}

/// The policy texts in a directory such as `~/.config/remit`, or the one in a file
/// ending in `.rules` or `.toml`, spoken by this layer. For looking at, so the
/// system's need not be root's.
///
/// # Errors
///
/// As for [`load`], and if there is nothing.
pub fn texts_at(path: &Path, layer: Layer) -> Result<Vec<PolicyText>, LoadError> {
    let mut loaded = Loaded::default();
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        _ if path.is_dir() => None,
        Some("rules") => Some(TextKind::Rules),
        Some("toml") => Some(TextKind::Settings),
        _ => return Err(LoadError::NoPolicy(path.to_path_buf())),
    };
    match kind {
        None => load_layer(Layer::User, path, &mut loaded)?,
        Some(kind) => {
            let text = read(Layer::User, path)?;
            text.into_iter().for_each(|text| loaded.add(layer, kind, path.to_path_buf(), text));
        }
    }
    if loaded.texts.is_empty() {
        return Err(LoadError::NoPolicy(path.to_path_buf()));
    }
    loaded.texts.iter_mut().for_each(|text| text.layer = layer);
    Ok(loaded.texts)
}

impl Loaded {
    /// Of the person's yeses for projects, those for this one that are not over.
    fn narrow_answers(&mut self, places: &Places, workspace: &Path) -> Result<(), LoadError> {
        let path = Answers::of(places).path().to_path_buf();
        let file = remit_policy::show::line(&path.to_string_lossy());
        let today = jiff::Zoned::now().date();
        for text in self.texts.iter_mut().filter(|text| text.file == file) {
            text.text = answers::in_force(&text.text, workspace, today)
                .map_err(|(line, why)| LoadError::Answers { path: path.clone(), line, why })?;
        }
        Ok(())
    }

    fn add(&mut self, layer: Layer, kind: TextKind, path: PathBuf, text: String) {
        let file = remit_policy::show::line(&path.to_string_lossy());
        self.texts.push(PolicyText { layer, kind, file, text });
        if layer != Layer::Project {
            self.trusted.push(path);
        }
    }
}

fn load_layer(layer: Layer, directory: &Path, loaded: &mut Loaded) -> Result<(), LoadError> {
    let settings = directory.join("config.toml");
    if let Some(text) = read(layer, &settings)? {
        loaded.add(layer, TextKind::Settings, settings, text);
    }
    for path in rule_files(&directory.join("rules"))? {
        if let Some(text) = read(layer, &path)? {
            loaded.add(layer, TextKind::Rules, path, text);
        }
    }
    Ok(())
}

fn rule_files(directory: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |source| LoadError::Read { path: directory.to_path_buf(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "rules") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(layer: Layer, path: &Path) -> Result<Option<String>, LoadError> {
    let failed = |source| LoadError::Read { path: path.to_path_buf(), source };
    // Something that is no file, such as a pipe nobody writes to, must not hold
    // us up before it can be looked at.
    let nonblocking = OFlags::NONBLOCK.bits() as i32;
    let file = match fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path) {
        Ok(file) => file,
        // A link that leads nowhere is not "no file".
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        )));
    }
    if layer == Layer::System && (about.uid() != 0 || about.mode() & 0o022 != 0) {
        return Err(LoadError::Open(path.to_path_buf()));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(LoadError::TooLarge(path.to_path_buf()));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| LoadError::NotText(path.to_path_buf()))
}
