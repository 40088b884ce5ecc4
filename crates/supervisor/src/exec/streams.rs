//! What a program about to start has on its standard streams, and which programs
//! are on the other ends of its pipes.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;

use remit_policy::{Exec, Stdin, pipes};

/// A pipe, by device and inode.
type Pipe = (u64, u64);

/// The pipes that a task has open for the program that it is about to start.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    stdin: Stdin,
    /// Standard input, and what its arguments name as `/dev/fd/N`.
    read: Vec<Pipe>,
    written: Vec<Pipe>,
}

/// SOURCE: admin-guide/devices.txt: 1 char 3 is `/dev/null`, 5 the terminals that
/// stand for others, 136 to 143 the pseudo-terminals.
const NULL: (u32, u32) = (1, 3);

impl Streams {
    /// Looks at a task. Other threads may change it at once.
    pub(crate) fn of(task: u32, exec: &Exec) -> Self {
        let mut streams = Self::default();
        streams.stdin = match fs::metadata(format!("/proc/{task}/fd/0")) {
            Err(_) => Stdin::Nothing,
            Ok(about) => {
                let kind = about.file_type();
                let device = device(about.rdev());
                if kind.is_fifo() {
                    streams.read.push((about.dev(), about.ino()));
                }
                match kind {
                    _ if kind.is_fifo() => Stdin::Pipe,
                    _ if kind.is_socket() => Stdin::Socket,
                    _ if kind.is_file() => Stdin::File,
                    _ if kind.is_char_device() && device == NULL => Stdin::Nothing,
                    _ if kind.is_char_device() && matches!(device.0, 4 | 5 | 136..=143) => {
                        Stdin::Terminal
                    }
                    _ => Stdin::Unknown,
                }
            }
        };
        streams.written.extend(pipe(task, "1"));
        for word in exec.argv.iter().skip(1).filter_map(|word| word.to_str()) {
            let number = ["/dev/fd/", "/proc/self/fd/"].iter().find_map(|at| word.strip_prefix(at));
            if let Some(number) = number.filter(|number| number.parse::<u32>().is_ok()) {
                streams.add(task, number);
            }
        }
        streams
    }

    /// A descriptor named in the arguments: read, written, or both.
    fn add(&mut self, task: u32, number: &str) {
        let Some(found) = pipe(task, number) else { return };
        // SOURCE: proc_pid_fd(5): the link's own mode says what it is open for.
        let mode = fs::symlink_metadata(format!("/proc/{task}/fd/{number}"));
        let mode = mode.map_or(0o600, |about| about.mode());
        if mode & 0o400 != 0 {
            self.read.push(found);
        }
        if mode & 0o200 != 0 {
            self.written.push(found);
        }
    }
}

fn pipe(task: u32, number: &str) -> Option<Pipe> {
    let about = fs::metadata(format!("/proc/{task}/fd/{number}")).ok()?;
    about.file_type().is_fifo().then(|| (about.dev(), about.ino()))
}

fn device(number: u64) -> (u32, u32) {
    (rustix::fs::major(number), rustix::fs::minor(number))
}

/// Which programs read and write the pipes of a session, as far as they were told
/// when they started.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    known: HashMap<Pipe, Ends>,
    oldest: VecDeque<Pipe>,
}

#[derive(Debug, Default)]
struct Ends {
    writer: Option<End>,
    reader: Option<End>,
}

#[derive(Debug)]
struct End {
    program: PathBuf,
    /// It fetches what it writes, or runs what it reads.
    matters: bool,
    /// The pipe that it reads what it writes from, or writes what it reads to.
    beyond: Option<Pipe>,
}

impl Pipes {
    /// As many pipes as are remembered; the oldest is forgotten first.
    const MOST: usize = 4096;

    /// How many programs a pipe is followed through.
    const FARTHEST: usize = 64;

    /// Says in an attempt what its streams are, and who is on the other ends: the
    /// one that fetches or runs, however many only pass it on; or else the nearest.
    pub(crate) fn tell(&self, streams: &Streams, exec: &mut Exec) {
        exec.stdin = streams.stdin;
        let fed_by = |pipe: &Pipe| self.end(*pipe, |ends| ends.writer.as_ref());
        let feeds = |pipe: &Pipe| self.end(*pipe, |ends| ends.reader.as_ref());
        exec.fed_by = best(streams.read.iter().filter_map(fed_by));
        exec.feeds = best(streams.written.iter().filter_map(feeds));
    }

    /// Remembers a program that is let go.
    pub(crate) fn start(&mut self, streams: &Streams, exec: &Exec) {
        if streams.read.is_empty() && streams.written.is_empty() {
            return;
        }
        let program = exec.program.as_ref().unwrap_or(&exec.path);
        let end = |matters, beyond: Option<&Pipe>| End {
            program: program.clone(),
            matters,
            beyond: beyond.copied(),
        };
        for pipe in &streams.written {
            put(&mut self.ends(*pipe).writer, end(pipes::downloads(exec), streams.read.first()));
        }
        for pipe in &streams.read {
            let matters = pipes::runs_its_input(exec);
            put(&mut self.ends(*pipe).reader, end(matters, streams.written.first()));
        }
    }

    fn ends(&mut self, pipe: Pipe) -> &mut Ends {
        if !self.known.contains_key(&pipe) {
            if self.known.len() >= Self::MOST
                && let Some(oldest) = self.oldest.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.oldest.push_back(pipe);
        }
        self.known.entry(pipe).or_default()
    }

    fn end<'p>(
        &'p self,
        pipe: Pipe,
        side: impl Fn(&'p Ends) -> Option<&'p End>,
    ) -> Option<&'p End> {
        let nearest = self.known.get(&pipe).and_then(&side)?;
        let mut end = nearest;
        for _ in 0..Self::FARTHEST {
            if end.matters {
                return Some(end);
            }
            let beyond = end.beyond.and_then(|pipe| self.known.get(&pipe)).and_then(&side);
            match beyond {
                Some(further) => end = further,
                None => break,
            }
        }
        Some(nearest)
    }
}

/// Several programs may use one end, one after the other; who matters stays.
fn put(end: &mut Option<End>, new: End) {
    if new.matters || !end.as_ref().is_some_and(|end| end.matters) {
        *end = Some(new);
    }
}

fn best<'p>(ends: impl Iterator<Item = &'p End>) -> Option<PathBuf> {
    ends.max_by_key(|end| end.matters).map(|end| end.program.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(line: &str) -> Exec {
        let argv: Vec<_> = line.split(' ').map(std::ffi::OsString::from).collect();
        Exec { path: (&argv[0]).into(), argv, ..Exec::default() }
    }

    fn streams(read: Option<u64>, written: Option<u64>) -> Streams {
        let pipes = |inode: Option<u64>| inode.map(|inode| (1, inode)).into_iter().collect();
        Streams { stdin: Stdin::Pipe, read: pipes(read), written: pipes(written) }
    }

    /// Starts programs in this order and says whether one of them was found to be
    /// part of running a download.
    fn is_noticed(starts: &[(&str, Option<u64>, Option<u64>)]) -> bool {
        let mut pipes = Pipes::default();
        starts.iter().any(|(line, read, written)| {
            let (mut exec, streams) = (exec(line), streams(*read, *written));
            pipes.tell(&streams, &mut exec);
            pipes.start(&streams, &exec);
            pipes::runs_a_download(&exec)
        })
    }

    #[test]
    fn whichever_starts_last_is_seen_with_both_ends() {
        let parts = [
            ("curl x", None, Some(1)),
            ("tee copy", Some(1), Some(2)),
            ("base64 -d", Some(2), Some(3)),
            ("sh", Some(3), None),
        ];
        // Every order of the four.
        for order in 0..256_usize {
            let order: Vec<_> = (0..4).map(|place| order >> (2 * place) & 3).collect();
            if (0..4).all(|part| order.contains(&part)) {
                let starts: Vec<_> = order.iter().map(|part| parts[*part]).collect();
                assert!(is_noticed(&starts), "{order:?}");
                let others: Vec<_> =
                    starts.iter().filter(|part| part.0 != "tee copy").copied().collect();
                assert!(!is_noticed(&others), "without the link between them: {order:?}");
            }
        }
    }

    #[test]
    fn a_second_writer_does_not_hide_the_first() {
        let starts = [("curl x", None, Some(1)), ("echo", None, Some(1)), ("sh", Some(1), None)];
        assert!(is_noticed(&starts));
    }

    #[test]
    fn a_ring_of_pipes_comes_to_an_end() {
        assert!(!is_noticed(&[
            ("cat", Some(1), Some(2)),
            ("cat", Some(2), Some(1)),
            ("sh", Some(1), Some(2)),
        ]));
    }

    #[test]
    fn only_so_many_pipes_are_remembered() {
        let mut pipes = Pipes::default();
        for pipe in 0..3 * Pipes::MOST as u64 {
            pipes.start(&streams(Some(pipe), Some(pipe + 1)), &exec("cat"));
        }
        assert_eq!(pipes.known.len(), Pipes::MOST);
        assert_eq!(pipes.oldest.len(), Pipes::MOST);
    }
}
