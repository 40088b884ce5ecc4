//! A session as a person reads it: who and where, then what happened, then how
//! much of it.
//!
//! An attempt leaves up to four events (the try, a question, an answer, an end);
//! they are put together by their number and told once.

mod joined;
mod row;

use std::collections::HashMap;

use jiff::tz::TimeZone;
use remit_approvals::words;
use remit_audit::event::{ChangeKind, ReviewAction};
use remit_audit::{Event, Kind, Process, Status, Text, Verdict};
use remit_policy::{Choice, Refusal, show};

use super::units;
use joined::Joined;
use row::{Mark, Row, Traffic, wrap};

/// What is written on.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// In columns. Below 40 lines may wrap.
    pub width: usize,
    pub colours: Colours,
    /// In which the session's start is told.
    pub zone: TimeZone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    On,
    Off,
}

/// Tells a session from its events, in their order. Every text is escaped for a
/// terminal and ends with a newline.
pub(super) fn render(events: &[Event], page: &Page) -> String {
    let Some(first) = events.first() else {
        return "nothing was recorded\n".to_owned();
    };
    let mut told = header(first, page);
    let mut rows: Vec<Row> = Vec::new();
    let mut teller = Teller {
        start: first.mono,
        joined: Joined::of(events),
        tree: Tree::default(),
        totals: Totals::default(),
    };
    for event in events {
        let Some(row) = teller.row(event) else {
            continue;
        };
        match rows.last_mut() {
            Some(last) if last.tells_the_same(&row) => last.fold(row),
            _ => rows.push(row),
        }
    }
    for row in &rows {
        told.push_str(&row.text(page));
    }
    told.push_str(&teller.totals.text(events, page));
    told
}

fn header(first: &Event, page: &Page) -> String {
    let time = jiff::Timestamp::from_nanosecond(first.time.into()).map_or_else(
        |_| first.time.to_string(),
        |time| time.to_zoned(page.zone.clone()).strftime("%-d %b %Y %H:%M:%S").to_string(),
    );
    let Kind::SessionStarted {
        agent,
        command,
        workspace,
        user,
        host,
        boundary,
        profile,
        terminal,
        ..
    } = &first.event
    else {
        return format!("{}  {time}\n\n", first.session);
    };
    let layers: Vec<_> = boundary.layers.iter().map(Text::escaped).collect();
    let at = if *terminal { "at a terminal" } else { "without a terminal" };
    let mut told = String::new();
    let room = page.width.saturating_sub(10).max(16);
    let mut entry = |label: &str, text: &str| {
        for (n, line) in wrap(&words::plain(text), room).iter().enumerate() {
            let label = if n == 0 { label } else { "" };
            told.push_str(&format!("{} {line}\n", page.colours.dim(&format!("{label:>9}"))));
        }
    };
    let command = units::shorten(&words::plain(&command_line(command)), room);
    entry("session", &format!("{} of {agent}, {time}", first.session));
    entry("command", &command);
    entry("in", &workspace.escaped());
    entry("by", &format!("{} (uid {}) {at}, {}", user.name, user.uid, host.kernel));
    entry("boundary", &format!("{}: {}", boundary.tier, layers.join(", ")));
    entry("profile", profile);
    told.push('\n');
    told
}

struct Teller<'a> {
    start: u64,
    joined: Joined<'a>,
    tree: Tree,
    totals: Totals,
}

impl Teller<'_> {
    /// What a connection carried that began at `mono`.
    fn traffic(&self, attempt: u64, mono: u64) -> Traffic {
        match self.joined.ends.get(&attempt) {
            Some((end, sent, received)) => Traffic {
                took: Some(end.saturating_sub(mono)),
                sent: *sent,
                received: *received,
                open: 0,
            },
            None if self.joined.outcomes.contains_key(&attempt) => Traffic::default(),
            None => Traffic { open: 1, ..Traffic::default() },
        }
    }

    /// What this event adds to the story; None if another one tells it.
    fn row(&mut self, event: &Event) -> Option<Row> {
        let row = |mark, depth, text: String| {
            Row::new(mark, event.mono.saturating_sub(self.start), depth, &text)
        };
        Some(match &event.event {
            Kind::Exec { process, argv, attempt, verdict, basis, .. } => {
                let depth = self.tree.depth(process);
                let text = command_line(argv);
                if self.joined.told_elsewhere(*attempt, *verdict) {
                    return None;
                }
                if *verdict == Verdict::Refuse {
                    self.totals.refusals += 1;
                    return Some(
                        row(Mark::Refused, depth, format!("refused: {text}"))
                            .note(format!("by {basis}")),
                    );
                }
                self.tree.ran(process, depth);
                self.totals.execs += 1;
                self.joined.failures(*attempt, row(Mark::None, depth, text))
            }
            Kind::Connect { process, host, port, attempt, verdict, basis, .. } => {
                let connect =
                    remit_policy::Connect { host: host.clone(), port: *port, program: None };
                let depth = self.tree.depth_below(process);
                if self.joined.told_elsewhere(*attempt, *verdict) {
                    return None;
                }
                if *verdict == Verdict::Refuse {
                    self.totals.refusals += 1;
                    return Some(
                        row(Mark::Refused, depth, format!("refused: {connect}"))
                            .note(format!("by {basis}")),
                    );
                }
                self.totals.connects += 1;
                let mut row = row(Mark::None, depth, format!("→ {connect}"));
                row.traffic = Some(self.traffic(*attempt, event.mono));
                self.joined.failures(*attempt, row)
            }
            Kind::Published { port, basis } => {
                row(Mark::None, 0, format!("published: port {port}")).note(format!("by {basis}"))
            }
            Kind::Inbound { attempt, port, .. } => {
                let mut row = row(Mark::None, 0, format!("← somebody outside, to port {port}"));
                row.traffic = Some(self.traffic(*attempt, event.mono));
                self.joined.failures(*attempt, row)
            }
            Kind::Request {
                process, destination, scheme, method, path, attempt, verdict, ..
            } => {
                if *verdict != Verdict::Allow {
                    return None;
                }
                let depth = self.tree.depth_below(process) + 1;
                let text =
                    format!("{} {scheme}://{destination}{}", method.escaped(), path.escaped());
                self.joined.failures(*attempt, row(Mark::None, depth, text))
            }
            Kind::Upload { process, destination, looks_like, attempt, verdict, .. } => {
                if *verdict != Verdict::Allow {
                    return None;
                }
                let depth = self.tree.depth_below(process) + 1;
                let text = format!("sent to {destination}: what looks like {looks_like}");
                self.joined.failures(*attempt, row(Mark::None, depth, text))
            }
            Kind::RequestEnded { .. } | Kind::ConnectFact { .. } => return None,
            Kind::Question { id, attempt, process, summary, .. } => {
                self.totals.questions += 1;
                let depth = self.tree.depth(process);
                let row = row(Mark::Asked, depth, format!("asked: {summary}"));
                match self.joined.answers.get(id) {
                    None => row.note("no answer is recorded"),
                    Some(answer) => {
                        let waited = units::duration(answer.waited_ms.saturating_mul(1_000_000));
                        let said = format!("{} by {} after {waited}", answer.choice, answer.by);
                        let refused = answer.choice == Choice::Refuse;
                        let mut row = if refused { row.warning(said) } else { row.note(said) };
                        row = answer
                            .note
                            .iter()
                            .fold(row, |row, note| row.note(format!("note: {note}")));
                        match self.joined.refusals.get(attempt) {
                            Some(refusal) if refused => instead(row, refusal),
                            Some(refusal) => instead(
                                row.warning(format!("refused by {}", refusal.basis)),
                                refusal,
                            ),
                            None => row,
                        }
                    }
                }
            }
            Kind::Refusal { attempt, process, refusal, .. } => {
                self.totals.refusals += 1;
                if self.joined.questions.contains(attempt) {
                    return None;
                }
                let depth = self.tree.depth(process);
                let mut row = row(Mark::Refused, depth, format!("refused: {}", refusal.attempt));
                row = row.note(format!("by {}", refusal.basis));
                if let Some(why) = &refusal.basis.justification {
                    row = row.note(format!("because: {why}"));
                }
                instead(row, refusal)
            }
            Kind::LimitReached { limit, how, ended, .. } => {
                let outcome = if *ended { ", and the session was ended" } else { "" };
                row(Mark::Warning, 0, format!("limit reached: {limit}{outcome}")).note(how.clone())
            }
            Kind::Handoff { process, path, why } => {
                let depth = self.tree.depth_below(process);
                let text = format!(
                    "wrote {}, which is run or obeyed outside",
                    show::line(&path.as_os_str().to_string_lossy())
                );
                row(Mark::Warning, depth, text).note(why.clone())
            }
            Kind::PolicyChanged { files, later, .. } => {
                let files: Vec<_> = files.iter().map(Text::escaped).collect();
                let row = row(Mark::Warning, 0, "the policy was changed".to_owned())
                    .note(format!("in {}", files.join(", ")));
                match later.is_empty() {
                    true => row,
                    false => row.note(format!("with the next session: {}", later.join(", "))),
                }
            }
            Kind::Lookups { asked, distinct, connected } => {
                let text = format!(
                    "{} looked up so far, {connected} of them connected to",
                    units::count(*distinct, "name")
                );
                row(Mark::None, 0, text).note(units::count(*asked, "lookup"))
            }
            Kind::Agreed { id, choice, by, note, more } => {
                let row = row(Mark::Asked, 0, format!("question {id}: {choice} by {by}"))
                    .note(format!("{more} more must agree"));
                note.iter().fold(row, |row, note| row.note(format!("reason: {note}")))
            }
            Kind::LateAnswer { choice, by, why, .. } => {
                row(Mark::Warning, 0, format!("too late: {choice} by {by}")).note(why.clone())
            }
            Kind::IgnoredAnswer { id, from, why } => {
                row(Mark::Warning, 0, format!("question {id}: no answer from {from}"))
                    .note(why.clone())
            }
            Kind::AnswerKept { file, number, rule, until, .. } => {
                let text = format!("kept for this project until {until} as answer {number}");
                row(Mark::None, 0, text).note(rule).note(format!("in {}", file.escaped()))
            }
            Kind::BreakGlass { by, reason, until, review } => {
                let text = format!("the glass was broken by {by} until {until}");
                row(Mark::Warning, 0, text).warning(reason).note(format!("review {review}"))
            }
            Kind::BreakGlassEnded { yeses, .. } => {
                let text = format!("the glass is whole again; times somebody said yes: {yeses}");
                row(Mark::Warning, 0, text)
            }
            Kind::Degraded { what, why } => {
                row(Mark::Warning, 0, format!("not in force: {what}")).note(why.clone())
            }
            Kind::Tiers { rule, precedent, reviewer, person, nobody } => {
                let deciders = [
                    ("rules", rule),
                    ("an earlier yes", precedent),
                    ("the reviewer", reviewer),
                    ("a person", person),
                    ("nobody, so refused", nobody),
                ];
                let told: Vec<_> = deciders
                    .iter()
                    .filter(|(_, count)| **count > 0)
                    .map(|(decider, count)| format!("{count} by {decider}"))
                    .collect();
                if told.is_empty() {
                    return None;
                }
                row(Mark::None, 0, format!("decided: {}", told.join(", ")))
            }
            Kind::Exit { status: Status::Code(0) } => {
                row(Mark::None, 0, "the command ended well".to_owned())
            }
            Kind::Exit { status: Status::Code(code) } => {
                row(Mark::None, 0, format!("the command ended with status {code}"))
            }
            Kind::Exit { status: Status::Signal(signal) } => {
                row(Mark::None, 0, format!("the command was ended by signal {signal}"))
            }
            Kind::ChangesKept { paths, directory } => {
                row(Mark::None, 0, format!("{} kept in {}", changes(*paths), directory.escaped()))
            }
            Kind::ReviewStarted { action, of, user, paths, .. } => {
                let what = match action {
                    ReviewAction::Apply => "applies of",
                    ReviewAction::Drop => "drops",
                };
                let text = format!("{} {what} session {of}: {}", user.name, changes(*paths));
                row(Mark::None, 0, text)
            }
            Kind::ChangeApplied { path, change, warned, attempt, .. } => {
                let what = match change {
                    ChangeKind::Added => "added",
                    ChangeKind::Modified => "modified",
                    ChangeKind::Deleted => "deleted",
                    ChangeKind::Replaced => "replaced",
                };
                let row = row(Mark::None, 0, format!("{what} {}", path.escaped()));
                let row = warned
                    .iter()
                    .fold(row, |row, warning| row.note(format!("after a yes to: {warning}")));
                self.joined.failures(*attempt, row)
            }
            // Told in the header, with their attempt, or by the totals.
            Kind::SessionStarted { .. }
            | Kind::Answer { .. }
            | Kind::ConnectEnded { .. }
            | Kind::Outcome { .. }
            | Kind::SessionEnded { .. } => return None,
        })
    }
}

fn instead(row: Row, refusal: &Refusal) -> Row {
    refusal.instead.iter().fold(row, |row, instead| row.note(format!("allowed instead: {instead}")))
}

/// `3 changes`; `changes, not counted,` where they could not be.
fn changes(paths: Option<u64>) -> String {
    paths.map_or_else(|| "changes, not counted,".to_owned(), |paths| units::count(paths, "change"))
}

fn command_line(argv: &[Text]) -> String {
    let argv: Vec<_> = argv.iter().cloned().map(Into::into).collect();
    show::command(&argv)
}

/// How deep each process stands below the session's command.
#[derive(Default)]
struct Tree {
    /// By pid: when the process started, and its depth.
    known: HashMap<u32, (u64, usize)>,
}

impl Tree {
    /// An exec replaces a program, so a process keeps its depth. One that has
    /// not been seen stands below its parent, or below the command if a parent
    /// in between only forked.
    fn depth(&self, process: &Process) -> usize {
        match (self.known.get(&process.pid), self.known.get(&process.parent)) {
            (Some((started, depth)), _) if *started == process.started => *depth,
            (_, Some((_, depth))) => depth + 1,
            _ if self.known.is_empty() => 0,
            _ => 1,
        }
    }

    /// For what a process does other than running a program.
    fn depth_below(&self, process: &Process) -> usize {
        match self.known.get(&process.pid) {
            Some((started, depth)) if *started == process.started => depth + 1,
            _ => self.depth(process),
        }
    }

    fn ran(&mut self, process: &Process, depth: usize) {
        self.known.insert(process.pid, (process.started, depth));
    }
}

#[derive(Default)]
struct Totals {
    execs: u64,
    connects: u64,
    refusals: u64,
    questions: u64,
}

impl Totals {
    fn text(&self, events: &[Event], page: &Page) -> String {
        let took = match events {
            [first, .., last] => last.mono.saturating_sub(first.mono),
            _ => 0,
        };
        let counted = format!(
            "{}, {}, {}, {} in {}",
            units::count(self.execs, "command"),
            units::count(self.connects, "connection"),
            units::count(self.refusals, "refusal"),
            units::count(self.questions, "question"),
            units::duration(took),
        );
        let ended =
            matches!(events.last().map(|event| &event.event), Some(Kind::SessionEnded { .. }));
        let last = if ended {
            ""
        } else {
            "no last word is recorded: the session still runs, or its supervisor died"
        };
        [counted.as_str(), last]
            .iter()
            .filter(|line| !line.is_empty())
            .flat_map(|line| wrap(line, page.width))
            .fold("\n".to_owned(), |text, line| text + &line + "\n")
    }
}

#[cfg(test)]
mod tests;
