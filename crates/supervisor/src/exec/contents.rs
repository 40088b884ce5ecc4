//! What files say, by digest; computed once for as long as they do not change.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use crate::resolve::{Identity, Place};

/// SHA-256 of a file's contents.
pub(crate) type Digest = [u8; 32];

/// Digests by the file and its state.
#[derive(Debug, Default)]
pub(crate) struct Contents(HashMap<Identity, Digest>);

impl Contents {
    /// How many are remembered; then all are forgotten.
    const MOST: usize = 1024;

    /// How long a file must have been left alone before its times tell whether it
    /// changed again. The kernel's clock for them stands still for up to 10 ms.
    const SETTLED: Duration = Duration::from_secs(1);

    /// The digest of a file that lies at a place, whatever name it has.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or changes while it is read.
    pub(crate) fn digest(&mut self, place: &Place) -> io::Result<Digest> {
        let identity = place.identity();
        if let Some(known) = self.0.get(&identity) {
            return Ok(*known);
        }
        let file = place.reopen()?;
        let digest = digest(&file)?;
        if Place::about(file.into())?.identity() != identity {
            return Err(io::Error::other("it changed while it was read"));
        }
        if is_settled(identity) {
            if self.0.len() >= Self::MOST {
                self.0.clear();
            }
            self.0.insert(identity, digest);
        }
        Ok(digest)
    }
}

fn digest(mut file: &File) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&buffer[..count]),
        }
    }
}

fn is_settled(identity: Identity) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let changed = Duration::from_secs(u64::try_from(identity.changed.0).unwrap_or(u64::MAX));
    now.checked_sub(changed).is_some_and(|age| age > Contents::SETTLED + Duration::from_secs(1))
}

/// A digest in hex.
pub(crate) fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn new_contents_have_a_new_digest_whatever_the_clock_says() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("file");
        let mut contents = Contents::default();
        let mut of = |text: &str| {
            fs::write(&path, text).expect("a file");
            let place = Place::of(std::process::id(), &path, None).expect("a place");
            contents.digest(&place).expect("a digest")
        };
        // Written within one tick of the file system's clock, and of one length.
        let digests: Vec<_> = ["aaaa", "bbbb", "cccc", "bbbb"].map(&mut of).into();
        assert_eq!(digests[1], digests[3]);
        assert_ne!(digests[0], digests[1]);
        assert_ne!(digests[1], digests[2]);
        // printf aaaa | sha256sum
        let known = "61be55a8e2f6b4e172338bddf184d6dbee29c98853e0a0485ecee7f27b9af0b4";
        assert_eq!(hex(&digests[0]), known);
    }
}
