//! What has to be looked at afterwards: every time the glass was broken.
//!
//! One file of JSON for each below `reviews/` in the state directory, which is
//! hidden inside the boundary. It is there before the limits are lifted, and open
//! until somebody closes it with words. The record tells the same and cannot be
//! changed unnoticed; this is the list of what is left to do.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files::Places;

/// The reviews of one person.
#[derive(Clone, Debug)]
pub struct Reviews {
    directory: PathBuf,
}

/// One time that the glass was broken. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    pub id: String,
    pub session: String,
    /// Who broke it and where.
    pub by: String,
    /// The stable name.
    pub person: String,
    pub reason: String,
    pub began: String,
    /// When it is whole again at the latest.
    pub until: String,
    pub ended: Option<String>,
    /// Yeses that were said meanwhile; absent where the session did not end well.
    pub yeses: Option<u64>,
    pub closed: Option<Closed>,
}

/// Who looked at it, and what they say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    pub by: String,
    pub at: String,
    pub note: String,
}

/// Why a review could not be read, written or closed.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    #[error("cannot {doing} `{}`", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("`{}` is not a review", path.display())]
    NotOne { path: PathBuf, source: serde_json::Error },
    #[error("there is no review `{}`; `remit approvals reviews` lists them", remit_policy::show::line(.0))]
    Unknown(String),
    #[error("review `{id}` was closed by {by}")]
    Closed { id: String, by: String },
    #[error("review `{0}` is about a glass that is still broken; look at it when that has ended")]
    StillBroken(String),
    #[error("a review is closed with words: what was done, and whether that was right")]
    NoNote,
}

impl Review {
    pub(crate) fn new(
        session: &str,
        by: &str,
        person: &str,
        reason: &str,
        began: Timestamp,
        until: &str,
    ) -> Self {
        Self {
            id: format!("{session}-{}", began.as_millisecond()),
            session: session.to_owned(),
            by: by.to_owned(),
            person: person.to_owned(),
            reason: reason.to_owned(),
            began: began.to_string(),
            until: until.to_owned(),
            ended: None,
            yeses: None,
            closed: None,
        }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        let over = |text: &String| text.parse::<Timestamp>().is_ok_and(|at| at <= now);
        self.ended.as_ref().is_some_and(over) || over(&self.until)
    }
}

impl Reviews {
    pub fn of(places: &Places) -> Self {
        Self { directory: places.state.join("reviews") }
    }

    /// All of them, oldest first.
    ///
    /// # Errors
    ///
    /// [`ReviewError`] if one cannot be read: what cannot be read is not done.
    pub fn all(&self) -> Result<Vec<Review>, ReviewError> {
        let failed = |source| failed("read", &self.directory, source);
        let entries = match fs::read_dir(&self.directory) {
            Err(none) if none.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut reviews = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                reviews.push(read(&path)?);
            }
        }
        reviews.sort_by(|a: &Review, b| (&a.began, &a.id).cmp(&(&b.began, &b.id)));
        Ok(reviews)
    }

    /// Those that wait for somebody.
    pub fn open(&self) -> Result<Vec<Review>, ReviewError> {
        let mut reviews = self.all()?;
        reviews.retain(|review| review.closed.is_none());
        Ok(reviews)
    }

    /// Closes one.
    pub fn close(&self, id: &str, by: &str, note: &str, now: Timestamp) -> Result<(), ReviewError> {
        let mut review = self.find(id)?;
        if let Some(Closed { by, .. }) = review.closed {
            return Err(ReviewError::Closed { id: review.id, by });
        }
        if !review.is_over(now) {
            return Err(ReviewError::StillBroken(review.id));
        }
        let note = note.trim();
        if note.is_empty() {
            return Err(ReviewError::NoNote);
        }
        let (by, note) = (by.to_owned(), note.to_owned());
        review.closed = Some(Closed { by, at: now.to_string(), note });
        self.write(&review)
    }

    /// Writes a new one down and returns its id.
    pub(crate) fn begin(&self, review: Review) -> Result<String, ReviewError> {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.directory);
        made.map_err(|source| failed("make", &self.directory, source))?;
        self.write(&review)?;
        Ok(review.id)
    }

    pub(crate) fn end(&self, id: &str, at: Timestamp, yeses: u64) -> Result<(), ReviewError> {
        let mut review = self.find(id)?;
        (review.ended, review.yeses) = (Some(at.to_string()), Some(yeses));
        self.write(&review)
    }

    fn find(&self, id: &str) -> Result<Review, ReviewError> {
        let found = self.all()?.into_iter().find(|review| review.id == id);
        found.ok_or_else(|| ReviewError::Unknown(id.to_owned()))
    }

    /// All or nothing, and on the disk when it returns.
    fn write(&self, review: &Review) -> Result<(), ReviewError> {
        let path = self.directory.join(format!("{}.json", review.id));
        let new = path.with_extension("new");
        let write = || -> io::Result<()> {
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(review)?)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            fs::File::open(&self.directory)?.sync_all()
        };
        write().map_err(|source| failed("write", &path, source))
    }
}

fn read(path: &Path) -> Result<Review, ReviewError> {
    let text = fs::read(path).map_err(|source| failed("read", path, source))?;
    serde_json::from_slice(&text)
        .map_err(|source| ReviewError::NotOne { path: path.to_path_buf(), source })
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> ReviewError {
    ReviewError::File { doing, path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_is_closed_once_afterwards_and_with_words() {
        let state = tempfile::tempdir().unwrap();
        let reviews = Reviews { directory: state.path().join("reviews") };
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let until = at(1060).to_string();
        let id = reviews
            .begin(Review::new("s1", "alice here", "alice", "fire", at(1000), &until))
            .unwrap();
        let close =
            |note, now| reviews.close(&id, "alice", note, at(now)).map_err(|it| it.to_string());
        assert!(close("right", 1059).unwrap_err().contains("still broken"));
        assert!(close("  ", 1060).unwrap_err().contains("with words"));
        assert_eq!(reviews.open().unwrap().len(), 1);
        assert_eq!(close("right", 1060), Ok(()));
        assert!(close("again", 1070).unwrap_err().contains("closed by alice"));
        assert!(reviews.open().unwrap().is_empty());
        assert!(matches!(reviews.close("s2-1", "x", "y", at(1)), Err(ReviewError::Unknown(_))));
        let early = Review::new("s1", "alice here", "alice", "again", at(2000), &until);
        let early = reviews.begin(Review { until: at(9000).to_string(), ..early }).unwrap();
        reviews.end(&early, at(2010), 3).unwrap();
        assert!(reviews.close(&early, "alice", "it was short", at(2011)).is_ok());
        fs::write(state.path().join("reviews/x.json"), "{}").unwrap();
        assert!(reviews.open().is_err(), "what cannot be read is not done");
    }
}
