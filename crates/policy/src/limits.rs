//! What a session may take of the machine.
//!
//! Every limit is a single value; the smaller one is the stricter. Who chooses,
//! and who can only narrow, is decided in [`crate::layers`] as for all others.

use std::cmp::Reverse;
use std::fmt;

use serde::Deserialize;
use toml::Spanned;

use crate::basis::{Basis, Layer};
use crate::error::PolicyError;
use crate::layers::{Force, Said, Settled, Voice};
use crate::settings::{Speaker, seconds};

/// What can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Bytes of memory and swap, of all processes together.
    Memory,
    /// Bytes in each of the session's own directories in memory.
    Tmp,
    /// Bytes in one file that is written to.
    FileSize,
    /// Processes and threads, together.
    Processes,
    /// Descriptors of one process.
    OpenFiles,
    /// Hundredths of a processor core, of all processes together.
    Cpu,
    /// Seconds from the start to the end of the session.
    Time,
}

impl Resource {
    pub const ALL: [Resource; 7] = [
        Resource::Memory,
        Resource::Tmp,
        Resource::FileSize,
        Resource::Processes,
        Resource::OpenFiles,
        Resource::Cpu,
        Resource::Time,
    ];

    /// The key below `limits`.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Memory => "memory",
            Resource::Tmp => "tmp",
            Resource::FileSize => "file_size",
            Resource::Processes => "processes",
            Resource::OpenFiles => "open_files",
            Resource::Cpu => "cpu",
            Resource::Time => "time",
        }
    }

    /// An amount as settings spell it: `8GiB`, `4096`, `1.5`, `2h`.
    pub fn spell(self, amount: u64) -> String {
        match self {
            Resource::Memory | Resource::Tmp | Resource::FileSize => spell_size(amount),
            Resource::Processes | Resource::OpenFiles => amount.to_string(),
            Resource::Cpu => format!("{}.{:02}", amount / 100, amount % 100),
            Resource::Time => spell_time(amount),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One limit, as all layers together have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// In the unit of its [`Resource`]; none where the policy sets none.
    pub most: Option<u64>,
    pub basis: Basis,
    /// Nobody but a project, which can only narrow, and the built-in profile
    /// said anything. For memory and `tmp` the host's size then sets a limit too.
    pub by_default: bool,
}

impl Limit {
    /// Whether somebody wrote down the value that holds. What was asked for and
    /// cannot be enforced must not start.
    pub fn is_asked_for(&self) -> bool {
        self.most.is_some() && self.basis.layer != Layer::BuiltIn
    }
}

/// All limits of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits([Limit; 7]);

impl Limits {
    pub fn of(&self, resource: Resource) -> &Limit {
        &self.0[resource as usize]
    }
}

/// The raw shape of `[limits]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsText {
    memory: Option<Spanned<String>>,
    tmp: Option<Spanned<String>>,
    file_size: Option<Spanned<String>>,
    processes: Option<Spanned<i64>>,
    open_files: Option<Spanned<i64>>,
    cpu: Option<Spanned<String>>,
    time: Option<Spanned<String>>,
}

/// Less is stricter; no limit is the weakest.
type Most = Reverse<u64>;

const NO_LIMIT: u64 = u64::MAX;

/// What was said about each limit, by [`Resource`].
#[derive(Debug, Default)]
pub(crate) struct LimitsSaid(pub(crate) [Vec<Said<Most>>; 7]);

impl LimitsText {
    pub(crate) fn state(&self, speaker: &Speaker<'_>) -> Result<LimitsSaid, PolicyError> {
        let mut said = LimitsSaid::default();
        let texts = [
            (Resource::Memory, &self.memory),
            (Resource::Tmp, &self.tmp),
            (Resource::FileSize, &self.file_size),
            (Resource::Cpu, &self.cpu),
            (Resource::Time, &self.time),
        ];
        for (resource, text) in texts {
            let key = format!("limits.{resource}");
            let value = speaker.single(&key, text, |text| read(resource, text).map(Reverse))?;
            said.0[resource as usize].extend(value);
        }
        let numbers =
            [(Resource::Processes, &self.processes), (Resource::OpenFiles, &self.open_files)];
        for (resource, number) in numbers {
            let key = format!("limits.{resource}");
            let value =
                speaker.raw(&key, number, |number| count(resource, *number).map(Reverse))?;
            said.0[resource as usize].extend(value);
        }
        Ok(said)
    }
}

impl LimitsSaid {
    pub(crate) fn add(&mut self, more: Self) {
        for (said, more) in self.0.iter_mut().zip(more.0) {
            said.extend(more);
        }
    }

    pub(crate) fn settle(self) -> Limits {
        let mut resources = Resource::ALL.into_iter();
        Limits(self.0.map(|mut said| {
            let resource = resources.next().expect("as many resources as limits");
            // What depends on the host cannot stand in a profile's text.
            let rule = match resource {
                Resource::Memory | Resource::Tmp => {
                    format!("limits.{resource} by the size of this machine's memory")
                }
                _ => format!("no limits.{resource}"),
            };
            said.push(Voice::of(Layer::BuiltIn, "").says(Reverse(NO_LIMIT), rule, 0));
            let by_default =
                said.iter().all(|s| matches!(s.force, Force::Allegation | Force::Fallback));
            let settled = Settled::new(said).expect("a statement was just added");
            let most = Some(settled.value().0).filter(|most| *most != NO_LIMIT);
            Limit { most, basis: settled.basis().clone(), by_default }
        }))
    }
}

/// The bounds of what makes sense, in the resource's unit. Below the least a
/// session could not even start; above the most the kernel would not take it.
fn sensible(resource: Resource) -> (u64, u64) {
    const MIB: u64 = 1 << 20;
    match resource {
        Resource::Memory => (16 * MIB, 1 << 50),
        Resource::Tmp => (MIB, 1 << 50),
        Resource::FileSize => (1 << 10, 1 << 50),
        // SOURCE: linux/threads.h, PID_MAX_LIMIT.
        Resource::Processes => (8, 1 << 22),
        // SOURCE: proc_sys_fs(5), nr_open; what every kernel takes unasked.
        Resource::OpenFiles => (64, 1 << 20),
        Resource::Cpu => (5, 409_600),
        Resource::Time => (1, 30 * 86_400),
    }
}

fn within(resource: Resource, amount: u64, as_written: &str) -> Result<u64, String> {
    let (least, most) = sensible(resource);
    if (least..=most).contains(&amount) {
        return Ok(amount);
    }
    let [least, most] = [least, most].map(|bound| resource.spell(bound));
    Err(format!("`{as_written}` is not between `{least}` and `{most}`"))
}

fn read(resource: Resource, text: &str) -> Result<u64, String> {
    // The directories in memory always end somewhere.
    if text == "none" && resource != Resource::Tmp {
        return Ok(NO_LIMIT);
    }
    let (amount, example) = match resource {
        Resource::Cpu => (hundredths(text), "a number of cores such as `2` or `1.5`"),
        Resource::Time => (seconds(text), "a duration such as `30m` or `2h`"),
        _ => (bytes(text), "a size such as `512MiB` or `8GiB`"),
    };
    let amount = amount.ok_or_else(|| match resource {
        Resource::Tmp => format!("`{text}` is not {example}"),
        _ => format!("`{text}` is not {example}, and not `none`"),
    })?;
    within(resource, amount, text)
}

fn count(resource: Resource, number: i64) -> Result<u64, String> {
    within(resource, u64::try_from(number).unwrap_or(0), &number.to_string())
}

const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

pub(crate) fn bytes(text: &str) -> Option<u64> {
    UNITS.iter().find_map(|(unit, size)| digits(text.strip_suffix(unit)?)?.checked_mul(*size))
}

fn hundredths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let part = match part.len() {
        1 => digits(part)? * 10,
        2 => digits(part)?,
        _ => return None,
    };
    digits(whole)?.checked_mul(100)?.checked_add(part)
}

/// A plain number: no sign, no spaces.
fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

pub(crate) fn spell_size(bytes: u64) -> String {
    let whole = UNITS.iter().rev().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    whole.map_or_else(|| format!("{bytes} bytes"), |(unit, size)| format!("{}{unit}", bytes / size))
}

fn spell_time(seconds: u64) -> String {
    match (seconds % 3600, seconds % 60) {
        (0, _) => format!("{}h", seconds / 3600),
        (_, 0) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_spelt_as_they_are_read() {
        for (resource, text, amount) in [
            (Resource::Memory, "8GiB", 8 << 30),
            (Resource::Memory, "1536MiB", 1536 << 20),
            (Resource::FileSize, "3KiB", 3 << 10),
            (Resource::Cpu, "1.50", 150),
            (Resource::Time, "90s", 90),
            (Resource::Time, "2h", 7200),
            (Resource::Time, "5m", 300),
        ] {
            assert_eq!(read(resource, text), Ok(amount), "{text}");
            assert_eq!(resource.spell(amount), text);
        }
        assert_eq!(read(Resource::Cpu, "2"), Ok(200));
        assert_eq!(read(Resource::Cpu, "0.5"), Ok(50));
    }

    #[test]
    fn every_resource_has_its_place() {
        for (place, resource) in Resource::ALL.into_iter().enumerate() {
            assert_eq!(resource as usize, place);
        }
    }
}
