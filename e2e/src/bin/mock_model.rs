//! `mock-model [--listen ADDRESS:PORT] [--command SHELL] [--farewell TEXT] [--log FILE]`
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;

use remit_e2e::mock_model::{MockModel, Script};

fn main() -> Result<(), Box<dyn Error>> {
    let mut listen: SocketAddr = "127.0.0.1:0".parse()?;
    let mut script =
        Script { command: "echo hello-from-tool; pwd".into(), farewell: "done".into() };
    let mut log = "/dev/stderr".to_owned();
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{flag}` needs a value"))?;
        match flag.as_str() {
            "--listen" => listen = value.parse()?,
            "--command" => script.command = value,
            "--farewell" => script.farewell = value,
            "--log" => log = value,
            _ => return Err(format!("unknown option `{flag}`").into()),
        }
    }
    let log = OpenOptions::new().create(true).append(true).open(&log)?;
    let model = MockModel::start(listen, script, log)?;
    writeln!(std::io::stdout(), "http://{}", model.address())?;
    model.serve_forever();
    Ok(())
}
