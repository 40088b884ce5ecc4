//! The `remit` program.
#![forbid(unsafe_code)]

mod approvals;
mod changes;
mod check;
mod demo;
mod doctor;
mod explain;
mod log;
mod policy;
mod say;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use remit_policy::Port;
use remit_supervisor::files::PlacesError;
use remit_supervisor::{Places, REFUSED, Request};

/// Keeps a coding agent within its remit.
///
/// Runs any agent inside a boundary that the kernel enforces, judges every
/// program it starts and every connection it makes by one policy, asks about
/// the rest, and leaves a record that can be verified.
#[derive(Debug, Parser)]
#[command(name = "remit", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a command inside the boundary.
    ///
    /// The exit status is the command's own; 125 means that it was refused or
    /// could not be started.
    Run(Run),
    /// Show the whole story with a scripted agent: no key, no network, 20 seconds.
    Demo,
    /// Say what this host enforces, what is missing, and how to get it.
    Doctor {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Say everything that is wrong with policy files, with file and line.
    ///
    /// Without files: those of the system, your own and the project's. The exit
    /// status is 0 if nothing is wrong, else 1.
    Check(check::Check),
    /// The questions of running sessions, from another terminal.
    Approvals {
        #[command(subcommand)]
        command: Option<approvals::ApprovalsCommand>,
    },
    /// The records of sessions.
    Log {
        #[command(subcommand)]
        command: log::LogCommand,
    },
    /// What sessions run with --overlay changed, to be applied or dropped.
    Changes {
        #[command(subcommand)]
        command: changes::ChangesCommand,
    },
    /// Say what the policy would say to an attempt, and why; nothing is tried.
    ///
    /// The exit status is 0 if it would be allowed, 10 if somebody would be asked, 11 if
    /// it would be refused.
    Explain(explain::Explain),
    /// The policy in force, rules learnt from answers, and other policies tried on records.
    Policy {
        #[command(subcommand)]
        command: policy::PolicyCommand,
    },
    /// The scripted agent of `remit demo`, which runs inside the boundary.
    #[command(hide = true)]
    DemoAgent { model: String },
}

#[derive(Debug, Args)]
struct Run {
    /// The policy profile: `default`, `read-only`, `offline`, or one of your own.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The workspace; the current directory if absent.
    #[arg(short = 'C', long = "directory", value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Run on a copy-on-write view of the workspace, and keep what is changed for `remit changes`.
    #[arg(long)]
    overlay: bool,
    /// Lead this port of the host's loopback to the same port inside; may be repeated.
    #[arg(long, value_name = "PORT", value_parser = port)]
    publish: Vec<Port>,
    /// Who answers questions when there is no terminal.
    #[arg(long, value_enum, default_value_t)]
    approvals: Approvals,
    /// Print what the kernel would be told, and run nothing.
    #[arg(long)]
    print_plan: bool,
    /// The command and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Approvals {
    /// The person at the session's terminal; without one, refuse.
    #[default]
    Terminal,
    /// Questions wait for `remit approvals` in another terminal.
    Queue,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misspelt(&error),
    };
    match cli.command {
        Command::Run(arguments) => run(arguments),
        Command::Demo => say::outcome(demo::run()),
        Command::Doctor { json } => say::outcome(doctor::run(json)),
        Command::Check(check) => match Places::from_environment() {
            Ok(places) => say::outcome(check::run(&check, &places)),
            Err(error) => say::outcome::<PlacesError>(Err(error)),
        },
        Command::Approvals { command } => match Places::from_environment() {
            Ok(places) => say::outcome(approvals::run(command, &places)),
            Err(error) => say::outcome::<PlacesError>(Err(error)),
        },
        Command::Log { command } => with_state(|state| say::outcome(log::run(command, &state))),
        Command::Changes { command } => match Places::from_environment() {
            Ok(places) => say::outcome(changes::run(command, &places)),
            Err(error) => say::outcome::<PlacesError>(Err(error)),
        },
        Command::Explain(explain) => say::outcome(explain::run(explain)),
        Command::Policy { command } => say::outcome(policy::run(command)),
        Command::DemoAgent { model } => say::outcome(demo::agent::run(&model)),
    }
}

fn port(text: &str) -> Result<Port, String> {
    let number = text.parse::<u16>().ok().and_then(|number| Port::try_from(number).ok());
    number.ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}

/// Help and version go to stdout and are a success; a wrong command line goes to
/// stderr, and of `remit run` it is a session that did not start.
fn misspelt(error: &clap::Error) -> ExitCode {
    // A reader that has seen enough is no error.
    let _ = error.print();
    match (error.exit_code(), std::env::args_os().nth(1)) {
        (0, _) => ExitCode::SUCCESS,
        (_, Some(first)) if first == "run" => refused(),
        _ => ExitCode::from(2),
    }
}

fn refused() -> ExitCode {
    ExitCode::from(u8::try_from(REFUSED).unwrap_or(1))
}

fn run(arguments: Run) -> ExitCode {
    let request = Request {
        command: arguments.command,
        directory: arguments.directory,
        profile: arguments.profile,
        queue: matches!(arguments.approvals, Approvals::Queue),
        overlay: arguments.overlay,
        publish: arguments.publish,
    };
    let outcome = remit_supervisor::prepare(request).and_then(|prepared| {
        if arguments.print_plan {
            let mut out = std::io::stdout().lock();
            // A reader that has seen enough is no error.
            let _ = write!(out, "{}{}", prepared.plan(), prepared.published());
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(caution) = prepared.caution() {
            say::line(&format!("remit: {caution}"));
        }
        if let Some(reminder) = approvals::reminder(&prepared.places) {
            say::line(&format!("remit: {reminder}"));
        }
        remit_supervisor::run(prepared)
    });
    outcome.unwrap_or_else(|error| {
        say::error(&error);
        refused()
    })
}

fn with_state(then: impl FnOnce(PathBuf) -> ExitCode) -> ExitCode {
    match Places::from_environment() {
        Ok(places) => then(places.state),
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}
