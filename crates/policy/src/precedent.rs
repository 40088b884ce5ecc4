//! Which attempts need no question because a person has said yes to more.
//!
//! A yes for the session covers exactly the same again ([`Grant`](crate::Grant)).
//! Here is what it covers besides: attempts that do a part of what was allowed and
//! nothing else. The part has to be one by the form of the attempt alone, for any
//! program and any server; where that cannot be told, it is asked.
//!
//! What is *not* a part, although it is shorter or further down: a command with a
//! flag left out (`--dry-run`), with all its operands left out (`make test`), with
//! an operand of a command whose operands differ in meaning left out (`cp a b c`),
//! with a variable left out, or in a directory below (which can be a repository or
//! a package of its own).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::attempt::{Attempt, Connect, Exec};
use crate::basis::Basis;
use crate::grant::{Answer, Choice};
use crate::knowledge::{Finding, Risk};
use crate::request::Request;
use crate::verdict::{Permit, Question};

#[cfg(test)]
mod fuzz;

/// An attempt of a kind that can be compared with others, reviewed and appealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Case {
    Exec(Exec),
    Connect(Connect),
    Request(Request),
}

/// Everything about a question but the right to settle it: what was tried, why it
/// was asked, what is known about it, and where it would happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matter {
    pub case: Case,
    pub basis: Basis,
    /// Gravest first.
    pub findings: Vec<Finding>,
    /// The profile that a yes lets it happen under, if another than the session's.
    pub place: Option<Arc<str>>,
}

/// The matters that a person permitted for longer than once in one session, each
/// with the number of its attempt.
#[derive(Clone, Debug, Default)]
pub struct Precedents(Vec<(u64, Matter)>);

/// How many are remembered; what comes later is asked about. A person answers
/// fewer.
const MOST: usize = 1024;

impl Precedents {
    /// Remembers what a person said about a matter, if it was a yes beyond once.
    pub fn add(&mut self, attempt: u64, matter: Matter, answer: &Answer) {
        let lasts = match answer.choice {
            Choice::Session | Choice::Host | Choice::Domain | Choice::Project => true,
            Choice::Once | Choice::Refuse | Choice::Stop => false,
        };
        if lasts && self.0.len() < MOST {
            self.0.push((attempt, matter));
        }
    }

    /// The number of an attempt that was permitted and that this is a part of.
    ///
    /// INVARIANT: the very same command is none of them. A yes for the session covers
    /// that, and is bound to more than the words of it, such as the text of a script.
    fn covering(&self, matter: &Matter) -> Option<u64> {
        let again = |it: &Matter| matches!(it.case, Case::Exec(_)) && it.case == matter.case;
        let mut permitted = self.0.iter().filter(|(_, permitted)| !again(permitted));
        permitted.find(|(_, permitted)| permitted.covers(matter)).map(|(attempt, _)| *attempt)
    }
}

impl<A: Attempt> Question<A> {
    /// What it is about. None for a kind of attempt that a person alone answers.
    pub fn matter(&self) -> Option<Matter> {
        Some(Matter {
            case: self.attempt().case()?,
            basis: self.basis().clone(),
            findings: self.findings().to_vec(),
            place: self.place().cloned(),
        })
    }

    /// Settles it by what a person permitted before, if it is no wider.
    ///
    /// # Errors
    ///
    /// The question, if it is not.
    pub fn by_precedent(self, precedents: &Precedents) -> Result<Permit<A>, Self> {
        let covering = self.matter().and_then(|matter| precedents.covering(&matter));
        match covering {
            Some(attempt) if !self.needs_a_person() => {
                let rule = format!("precedent: no wider than attempt {attempt}");
                Ok(self.permit(Basis::answered(rule)))
            }
            _ => Err(self),
        }
    }
}

impl Matter {
    /// Whether a lasting yes to this is a yes to `other`: it was asked for the same
    /// reason, nothing more is known about it, it would happen in the same place,
    /// and its case is no wider. Never where a person has to decide.
    ///
    /// INVARIANT: reflexive but for high risks, and transitive.
    fn covers(&self, other: &Matter) -> bool {
        let known = |finding: &Finding| {
            self.findings.iter().any(|it| (&it.class, it.risk) == (&finding.class, finding.risk))
        };
        let reason = |basis: &Basis| (basis.rule.clone(), basis.layer, basis.origin.clone());
        reason(&self.basis) == reason(&other.basis)
            && self.place == other.place
            && other.findings.iter().all(|finding| finding.risk < Risk::High && known(finding))
            && self.case.covers(&other.case)
    }
}

impl Case {
    /// Whether `other` does nothing that this does not do.
    ///
    /// INVARIANT: reflexive and transitive.
    fn covers(&self, other: &Case) -> bool {
        match (self, other) {
            (Case::Exec(exec), Case::Exec(other)) => exec == other || is_part(exec, other),
            (Case::Request(request), Case::Request(other)) => {
                request == other || is_below(request, other)
            }
            (case, other) => case == other,
        }
    }
}

/// A command whose operands are a list: each is treated by itself, whatever the
/// others are.
struct Listing {
    program: &'static str,
    subcommand: Option<&'static str>,
    /// Whether the word after an option may belong to it, so that it is no operand.
    valued: bool,
}

const fn listing(program: &'static str, subcommand: Option<&'static str>, valued: bool) -> Listing {
    Listing { program, subcommand, valued }
}

/// SOURCE: rm(1), rmdir(1), mkdir(1), touch(1), git-add(1), git-rm(1), cargo-add(1),
/// pip's and apt-get's manuals. Of these `rm` and `rmdir` alone have no option that
/// takes the next word.
const LISTINGS: [Listing; 10] = [
    listing("rm", None, false),
    listing("rmdir", None, false),
    listing("mkdir", None, true),
    listing("touch", None, true),
    listing("git", Some("add"), true),
    listing("git", Some("rm"), true),
    listing("cargo", Some("add"), true),
    listing("pip", Some("install"), true),
    listing("pip3", Some("install"), true),
    listing("apt-get", Some("install"), true),
];

/// Whether `other` is the same command with some operands of a list left out, and
/// not all of them.
fn is_part(exec: &Exec, other: &Exec) -> bool {
    let same_but_for_words = Exec { argv: exec.argv.clone(), ..other.clone() } == *exec;
    let Some((listing, head)) = Listing::of(exec).filter(|_| same_but_for_words) else {
        return false;
    };
    let (mut kept, mut left) = (false, other.argv.as_slice());
    for (at, word) in exec.argv.iter().enumerate() {
        let operand = at >= head && listing.is_operand(&exec.argv[head - 1..at], word);
        match left.split_first() {
            Some((next, rest)) if next == word => (left, kept) = (rest, kept || operand),
            _ if operand => {}
            _ => return false,
        }
    }
    left.is_empty() && kept
}

impl Listing {
    /// The listing of a program that no session can write, and how many words of
    /// its arguments stand before options and operands.
    fn of(exec: &Exec) -> Option<(&'static Listing, usize)> {
        let program = exec.program.as_deref()?;
        let system = ["/bin", "/usr/bin"].iter().any(|it| program.parent() == Some(Path::new(it)));
        let name = program.file_name().filter(|_| system && exec.copy_of.is_empty())?;
        // A program of several names does what it is called.
        let called = Path::new(exec.argv.first()?).file_name()?;
        let mut of_program = LISTINGS.iter().filter(|it| [name, called] == [it.program; 2]);
        of_program.find_map(|it| match it.subcommand {
            None => Some((it, 1)),
            Some(word) => (exec.argv.get(1)? == OsStr::new(word)).then_some((it, 2)),
        })
    }

    /// Whether a word is one of the list, and not perhaps an option's. `before` are
    /// the words before it.
    fn is_operand(&self, before: &[OsString], word: &OsString) -> bool {
        let is_option = |word: &OsString| word.as_bytes().starts_with(b"-");
        // An option of `valued` ends where its value does; that of a head word is none.
        let after_option = self.valued && before.last().is_some_and(is_option);
        !is_option(word) && !word.is_empty() && !after_option
    }
}

/// Whether `other` reads, below the path that this reads, on the same server.
///
/// It tells the server no more than this may, for a yes to a request is one to any
/// query of it.
fn is_below(request: &Request, other: &Request) -> bool {
    let reads = |it: &Request| it.overrides.is_empty() && it.methods().iter().eq(["GET"]);
    let above = request.target.path().trim_end_matches('/');
    let below = other.target.path().strip_prefix(above).and_then(|rest| rest.strip_prefix('/'));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let step = |step: &str| !matches!(step, "" | "." | "..") && step.bytes().all(plain);
    let steps = |path: &str| path.split('/').skip(1).all(step);
    request.connect == other.connect
        && request.scheme == other.scheme
        && reads(request)
        && reads(other)
        && !above.is_empty()
        && below.is_some()
        && steps(other.target.path())
        && other.target.query().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basis::Basis;
    use crate::knowledge::Risk;
    use crate::request::{Method, Scheme, Target};

    fn run(words: &str) -> Exec {
        let argv: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        let path = Path::new("/usr/bin").join(&argv[0]);
        Exec { program: Some(path.clone()), path, argv, cwd: "/w".into(), ..Exec::default() }
    }

    fn get(text: &str) -> Request {
        let (method, url) = text.split_once(' ').expect("a method");
        let rest = url.strip_prefix("https://").expect("https");
        let at = rest.find('/').expect("a path");
        Request {
            connect: Connect::parse(&format!("{}:443", &rest[..at])).expect("a host"),
            scheme: Scheme::Https,
            method: Method::parse(method).expect("a method"),
            target: Target::parse(&rest[at..]).expect("a target"),
            overrides: Vec::new(),
        }
    }

    #[test]
    fn a_part_of_a_list_is_no_wider_and_nothing_else_is() {
        let check = |allowed: &str, tried: &str, expected: bool| {
            let covers = Case::Exec(run(allowed)).covers(&Case::Exec(run(tried)));
            assert_eq!(covers, expected, "{tried} after {allowed}");
        };
        check("rm -r a b c", "rm -r a b c", true);
        check("rm -r a b c", "rm -r b", true);
        check("rm -r a b c", "rm -r a c", true);
        check("git add a b", "git add b", true);
        check("cargo add --dev x a b", "cargo add --dev x b", true);
        // What was not there.
        check("rm -r a b", "rm -r d", false);
        check("rm -r a b", "rm -rf a", false);
        check("rm -r a b", "rm a", false);
        check("rm -i a b", "rm a", false);
        check("rm -r a b", "rm a -r", false);
        check("rm -r a b", "rm -r b a", false);
        check("rm a", "rm a a", false);
        check("git add a b", "git rm a", false);
        check("git -C x add a b", "git -C x add a", false);
        check("git push origin main", "git push", false);
        // All of the list left out means something else.
        check("pip install a b", "pip install", false);
        check("git add a", "git add", false);
        check("rm -r a", "rm -r", false);
        // The value of an option is no operand.
        check("touch -r a b c", "touch -r b c", false);
        check("pip install -r a b c", "pip install -r b", false);
        check("pip install -r a b c", "pip install -r a c", true);
        check("pip install --target a b", "pip install --target a", false);
        // Operands that are not a list, and programs that are not known.
        check("cp a b c", "cp a b", false);
        check("mv a b c", "mv a b", false);
        check("make lint test", "make lint", false);
        check("curl a b", "curl a", false);
    }

    #[test]
    fn whatever_else_differs_is_asked() {
        let allowed = run("rm a b");
        let part = Exec { argv: run("rm a").argv, ..allowed.clone() };
        let check = |tried: Exec, expected: bool| {
            let covers = Case::Exec(allowed.clone()).covers(&Case::Exec(tried.clone()));
            assert_eq!(covers, expected, "{tried:?}");
        };
        check(part.clone(), true);
        check(Exec { cwd: "/w/below".into(), ..part.clone() }, false);
        check(Exec { program: Some("/usr/bin/busybox".into()), ..part.clone() }, false);
        check(Exec { program: None, ..part.clone() }, false);
        check(Exec { environment: vec![("A".into(), "b".into())], ..part.clone() }, false);
        check(Exec { stdin: crate::Stdin::Pipe, ..part.clone() }, false);
        check(Exec { fed_by: Some("/usr/bin/curl".into()), ..part.clone() }, false);
        check(Exec { feeds: Some("/bin/sh".into()), ..part.clone() }, false);
        check(Exec { copy_of: vec!["/usr/bin/git".into()], ..part.clone() }, false);
        let called = |argv: &str, program: &str| {
            let whole = Exec { argv: run(argv).argv, program: Some(program.into()), ..run("rm a") };
            let part = Exec { argv: whole.argv[..2].to_vec(), ..whole.clone() };
            Case::Exec(whole).covers(&Case::Exec(part))
        };
        assert!(called("rm a b", "/usr/bin/rm"));
        assert!(!called("rm a b", "/usr/bin/cp"), "what runs is no `rm`");
        assert!(!called("cp a b", "/usr/bin/rm"), "what it is called decides what it does");
        assert!(!called("rm a b", "/w/rm"), "a session can write it");
    }

    #[test]
    fn reading_below_what_may_be_read_is_no_wider() {
        let check = |allowed: &str, tried: &str, expected: bool| {
            let covers = Case::Request(get(allowed)).covers(&Case::Request(get(tried)));
            assert_eq!(covers, expected, "{tried} after {allowed}");
        };
        check("GET https://a.example/docs", "GET https://a.example/docs", true);
        check("GET https://a.example/docs", "GET https://a.example/docs/one/two", true);
        check("GET https://a.example/docs/", "GET https://a.example/docs/one", true);
        check("GET https://a.example/docs?x=1", "GET https://a.example/docs/one", true);
        check("GET https://a.example/docs", "GET https://a.example/docs2", false);
        check("GET https://a.example/docs", "GET https://a.example/docs/..", false);
        check("GET https://a.example/docs", "GET https://a.example/docs/../x", false);
        check("GET https://a.example/docs", "GET https://a.example/docs/%2e%2e/x", false);
        check("GET https://a.example/docs", "GET https://a.example/docs//x", false);
        check("GET https://a.example/docs", "GET https://a.example/docs/one?x=1", false);
        check("GET https://a.example/docs", "GET https://a.example/docs/a;b", false);
        check("GET https://a.example/docs", "HEAD https://a.example/docs/one", false);
        check("POST https://a.example/docs", "POST https://a.example/docs/one", false);
        check("POST https://a.example/docs", "GET https://a.example/docs/one", false);
        check("GET https://a.example/", "GET https://a.example/one", false);
        check("GET https://a.example/docs", "GET https://b.example/docs/one", false);
        check("GET https://a.example/x?_method=PUT", "GET https://a.example/x/y", false);
    }

    fn asked(exec: Exec, findings: Vec<Finding>) -> Question<Exec> {
        Question::new(exec, Basis::built_in("prompt rm")).with_findings(findings)
    }

    fn finding(class: &str, risk: Risk) -> Finding {
        Finding { class: class.to_owned(), risk, reason: "because".to_owned(), undo: None }
    }

    fn yes(choice: Choice) -> Answer {
        Answer { choice, by: "alice".to_owned(), people: Default::default(), note: None }
    }

    fn after(choice: Choice, findings: Vec<Finding>) -> Precedents {
        let mut precedents = Precedents::default();
        let matter = asked(run("rm a b"), findings).matter().expect("a matter");
        precedents.add(7, matter, &yes(choice));
        precedents
    }

    #[test]
    fn only_a_lasting_yes_is_a_precedent() {
        let check = |choice: Choice, expected: bool| {
            let settled = asked(run("rm a"), Vec::new()).by_precedent(&after(choice, Vec::new()));
            assert_eq!(settled.is_ok(), expected, "{choice}");
        };
        check(Choice::Session, true);
        check(Choice::Project, true);
        check(Choice::Once, false);
        check(Choice::Refuse, false);
        check(Choice::Stop, false);
        let permit = asked(run("rm a"), Vec::new())
            .by_precedent(&after(Choice::Session, Vec::new()))
            .expect("a permit");
        assert_eq!(permit.basis().rule, "precedent: no wider than attempt 7");
    }

    #[test]
    fn what_is_newly_known_or_asked_for_another_reason_has_no_precedent() {
        let deletion = || finding("deletion", Risk::Medium);
        let check = |known: Vec<Finding>, question: Question<Exec>, expected: bool| {
            let settled = question.by_precedent(&after(Choice::Session, known));
            assert_eq!(settled.is_ok(), expected, "{settled:?}");
        };
        check(vec![deletion()], asked(run("rm a"), vec![deletion()]), true);
        check(vec![deletion()], asked(run("rm a"), Vec::new()), true);
        check(Vec::new(), asked(run("rm a"), vec![deletion()]), false);
        check(vec![deletion()], asked(run("rm a"), vec![finding("deletion", Risk::Low)]), false);
        let high = || vec![finding("deletion", Risk::High)];
        check(high(), asked(run("rm a"), high()), false);
        check(high(), asked(run("rm a b"), high()), false);
        let elsewhere = asked(run("rm a"), Vec::new()).placed(Some("release".into()));
        check(Vec::new(), elsewhere, false);
        check(Vec::new(), Question::new(run("rm a"), Basis::built_in("another rule")), false);
    }

    #[test]
    fn no_more_than_a_person_could_answer_is_remembered() {
        let mut precedents = Precedents::default();
        for attempt in 0..2 * MOST as u64 {
            let matter = asked(run("rm a b"), Vec::new()).matter().expect("a matter");
            precedents.add(attempt, matter, &yes(Choice::Session));
        }
        assert_eq!(precedents.0.len(), MOST);
    }
}
