//! The attempts of a record, as completely as they can be judged anew.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use remit_audit::event::Circumstances;
use remit_audit::{Event, Kind, Outcome, PublicKey, SessionId, Text, Tried as Sort, Verdict};
use remit_policy::past::{Ruled, Tried};
use remit_policy::{
    Choice, Connect, Decision, Exec, Method, OWN_LOOPBACK, Request, Scheme, Target,
};
use remit_supervisor::View;

use super::PolicyCliError;

/// What one session tried.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) session: SessionId,
    /// From where its policy was looked at.
    pub(super) view: View,
    pub(super) attempts: Vec<Attempted>,
    /// What cannot be judged anew, by why, and how often it came.
    pub(super) left_out: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) tried: Tried,
    /// What the policy said then.
    pub(super) said: Ruled,
    /// What was answered, if it was asked.
    pub(super) answer: Option<Choice>,
}

impl Attempted {
    /// Whether somebody said yes to it.
    pub(super) fn was_answered_yes(&self) -> bool {
        self.answer.is_some_and(is_yes)
    }
}

pub(super) fn is_yes(choice: Choice) -> bool {
    !matches!(choice, Choice::Refuse | Choice::Stop)
}

/// Reads a session's record.
///
/// # Errors
///
/// If it does not verify: rules are not learnt from what somebody changed.
pub(super) fn read(
    state: &Path,
    session: SessionId,
    key: &PublicKey,
) -> Result<Recorded, PolicyCliError> {
    let directory = session.directory(state);
    let report = remit_audit::verify(&directory, session, key)?;
    if report.outcome == Outcome::Bad {
        return Err(PolicyCliError::Bad { session, why: report.to_string() });
    }
    let events = remit_audit::events(&directory)?.collect::<Result<Vec<_>, _>>()?;
    of(session, &events)
}

fn of(session: SessionId, events: &[Event]) -> Result<Recorded, PolicyCliError> {
    let Some(Kind::SessionStarted { profile, agent, workspace, .. }) =
        events.first().map(|event| &event.event)
    else {
        return Err(PolicyCliError::NoRun { session });
    };
    let view = View {
        directory: Some(workspace.as_os_str().into()),
        profile: Some(profile.clone()),
        agent: Some(agent.into()),
    };
    let mut recorded = Recorded { session, view, attempts: Vec::new(), left_out: BTreeMap::new() };
    let mut told = HashSet::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    for event in events {
        match read_one(&event.event, &told) {
            One::Tried(attempt, tried, said) => {
                told.insert(attempt);
                places.insert(attempt, recorded.attempts.len());
                recorded.attempts.push(Attempted { tried, said, answer: None });
            }
            One::Answered(attempt, choice) => {
                let place = places.get(&attempt).map(|place| &mut recorded.attempts[*place]);
                if let Some(attempted) = place {
                    // The first answer counted.
                    attempted.answer.get_or_insert(choice);
                }
            }
            One::LeftOut(attempt, why) => {
                told.insert(attempt);
                *recorded.left_out.entry(why).or_default() += 1;
            }
            One::Nothing => {}
        }
    }
    Ok(recorded)
}

enum One {
    Tried(u64, Tried, Ruled),
    Answered(u64, Choice),
    LeftOut(u64, &'static str),
    Nothing,
}

const UNCLEAR: &str = "attempts that the record does not describe fully";

/// `told` are the attempts that an earlier event is about.
fn read_one(kind: &Kind, told: &HashSet<u64>) -> One {
    let read =
        |attempt: u64, tried: Option<Tried>, verdict: Verdict, basis: &remit_policy::Basis| {
            let ruled = Ruled { decision: decision(verdict), basis: basis.clone() };
            match tried {
                Some(tried) => One::Tried(attempt, tried, ruled),
                None => One::LeftOut(attempt, UNCLEAR),
            }
        };
    match kind {
        Kind::Exec {
            process,
            program,
            argv,
            cwd,
            environment,
            circumstances,
            verdict,
            basis,
            attempt,
            ..
        } => {
            let exec =
                exec(program.as_ref(), argv, cwd, environment, circumstances, &process.program);
            read(*attempt, exec, *verdict, basis)
        }
        Kind::Connect { process, host, port, verdict, basis, attempt, .. } => {
            let program = Some(path(&process.program));
            let connect = Connect { host: host.clone(), port: *port, program };
            let tried = match basis.rule == OWN_LOOPBACK {
                true => Tried::Inside(connect),
                false => Tried::Connect(connect),
            };
            read(*attempt, Some(tried), *verdict, basis)
        }
        Kind::Request {
            process,
            destination,
            scheme,
            method,
            path,
            also,
            verdict,
            basis,
            attempt,
        } => {
            let line = format!("{} {scheme}://{destination}{}", method.escaped(), path.escaped());
            let request = request(&line, also, &process.program);
            read(*attempt, request, *verdict, basis)
        }
        Kind::Answer { attempt, choice, .. } => One::Answered(*attempt, *choice),
        Kind::Upload { attempt, .. } => {
            One::LeftOut(*attempt, "bodies with what looks like a secret, which are not kept")
        }
        Kind::Refusal { attempt, .. } if told.contains(attempt) => One::Nothing,
        Kind::Refusal { attempt, process, what, detail, refusal } => {
            let basis = &refusal.basis;
            match (what, detail.as_slice()) {
                (Sort::Connect, [there]) => {
                    let connect = there.as_os_str().to_str().and_then(Connect::parse);
                    let program = Some(path(&process.program));
                    match connect {
                        Some(connect) => {
                            let tried = Tried::Connect(Connect { program, ..connect });
                            read(*attempt, Some(tried), Verdict::Refuse, basis)
                        }
                        None => One::LeftOut(
                            *attempt,
                            "local sockets and datagrams, which no policy opens",
                        ),
                    }
                }
                // The method that it asked to be taken for is in no field of a refusal.
                (Sort::Request, [line]) if !refusal.attempt.contains("asks to be taken for") => {
                    let request = line.as_os_str().to_str();
                    let request =
                        request.and_then(|line| self::request(line, &[], &process.program));
                    read(*attempt, request, Verdict::Refuse, basis)
                }
                (Sort::Write, _) => One::LeftOut(
                    *attempt,
                    "refused writes, of which the allowed ones are not recorded",
                ),
                (Sort::Call, _) => One::LeftOut(*attempt, "system calls, which no policy permits"),
                _ => One::LeftOut(*attempt, UNCLEAR),
            }
        }
        _ => One::Nothing,
    }
}

fn decision(verdict: Verdict) -> Decision {
    match verdict {
        Verdict::Allow => Decision::Allow,
        Verdict::Ask => Decision::Ask,
        Verdict::Refuse => Decision::Refuse,
    }
}

fn exec(
    program: Option<&Text>,
    argv: &[Text],
    cwd: &Text,
    environment: &[Text],
    circumstances: &Circumstances,
    by: &Text,
) -> Option<Tried> {
    let Circumstances { path: spelt, copy_of, stdin, fed_by, feeds } = circumstances;
    let variable = |text: &Text| {
        let bytes = text.as_bytes();
        let at = bytes.iter().position(|byte| *byte == b'=')?;
        let part = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
        Some((part(&bytes[..at]), part(&bytes[at + 1..])))
    };
    let environment: Option<Vec<(OsString, OsString)>> = environment.iter().map(variable).collect();
    Some(Tried::Exec(Box::new(Exec {
        path: path(spelt.as_ref().or(program)?),
        program: program.map(path),
        argv: argv.iter().map(|word| word.as_os_str().to_owned()).collect(),
        cwd: path(cwd),
        copy_of: copy_of.iter().map(path).collect(),
        environment: environment?,
        stdin: *stdin,
        by: Some(path(by)).filter(|by| !by.as_os_str().is_empty()),
        fed_by: fed_by.as_ref().map(path),
        feeds: feeds.as_ref().map(path),
    })))
}

/// Reads `GET https://api.example:443/path`.
fn request(line: &str, also: &[Text], program: &Text) -> Option<Tried> {
    let (method, url) = line.split_once(' ')?;
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    let (there, target) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest.strip_suffix('*')?, "*"),
    };
    let connect = Connect { program: Some(path(program)), ..Connect::parse(there)? };
    let others = also.iter().map(|text| Method::parse(text.as_os_str().to_str()?).ok());
    Some(Tried::Request(Box::new(Request {
        connect,
        scheme,
        method: Method::parse(method).ok()?,
        target: Target::parse(target).ok()?,
        overrides: others.collect::<Option<_>>()?,
    })))
}

fn path(text: &Text) -> PathBuf {
    PathBuf::from(text.as_os_str())
}
