//! Sessions by name, and where they are kept.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// A session's name: 1 to 40 of `0-9`, `a-z` and `-`, not starting with `-`.
/// Made as `20261121-041500-k3v9`, so that names sort by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    // Zero bytes fill the rest; comparing the array compares the names.
    bytes: [u8; 40],
}

/// Why a text is not a session's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session is named by 1 to 40 of `0-9`, `a-z` and `-`, like `20261121-041500-k3v9`")]
pub struct SessionIdError;

impl SessionId {
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|b| *b == 0).unwrap_or(40);
        std::str::from_utf8(&self.bytes[..end]).expect("parsing admitted only ASCII")
    }

    /// Where this session's files are under `state`.
    pub fn directory(&self, state: &Path) -> PathBuf {
        state.join("sessions").join(self.as_str())
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        let allowed = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase() || b == b'-';
        let fits = (1..=40).contains(&text.len());
        if !fits || text.starts_with('-') || !text.bytes().all(allowed) {
            return Err(SessionIdError);
        }
        let mut bytes = [0; 40];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes })
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The sessions kept under `state`, oldest name first. None yet is not an error.
/// Anything there that is not named like a session is passed over.
pub fn sessions(state: &Path) -> io::Result<Vec<SessionId>> {
    let entries = match std::fs::read_dir(state.join("sessions")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(|name| name.parse::<SessionId>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether the program that writes this session's record still has it open.
/// It is told by a lock that ends with the writer, and is for information: on
/// any doubt the answer is no.
pub fn is_open(directory: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let Ok(file) = rustix::fs::open(directory.join("record.jsonl"), flags, Mode::empty()) else {
        return false;
    };
    let tried = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared);
    tried == Err(rustix::io::Errno::WOULDBLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_plain_names_are_sessions() {
        let longest = "a".repeat(40);
        for good in ["20261121-041500-k3v9", "a", longest.as_str()] {
            let id: SessionId = good.parse().expect("a session's name");
            assert_eq!(id.as_str(), good);
        }
        let longer = "a".repeat(41);
        for bad in ["", "-a", "A", "a/b", "..", "a\0", "a b", "ä", longer.as_str()] {
            assert_eq!(bad.parse::<SessionId>(), Err(SessionIdError), "{bad:?}");
        }
    }
}
