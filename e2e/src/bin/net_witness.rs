//! `net-witness NOTEBOOK [--dns ADDRESS:PORT] [--web ADDRESS:PORT]… [--name NAME=ADDRESS]…`
//!
//! Says `ready` on stdout once it listens everywhere; ends when stdin does.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};

use remit_e2e::witness::{self, Notebook};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let path = words.next().ok_or("the notebook's path is missing")?;
    let notebook = Notebook::new(OpenOptions::new().create(true).append(true).open(path)?);
    let mut names: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let mut resolvers = Vec::new();
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{flag}` needs a value"))?;
        match flag.as_str() {
            "--dns" => resolvers.push(value.parse()?),
            "--web" => drop(witness::web_server(value.parse()?, notebook.clone())?),
            "--name" => {
                let (name, address) = value.split_once('=').ok_or("a name is `NAME=ADDRESS`")?;
                // A name may be given several times, for several addresses.
                names.entry(name.to_owned()).or_default().push(address.parse()?);
            }
            _ => return Err(format!("unknown option `{flag}`").into()),
        }
    }
    for address in resolvers {
        drop(witness::resolver(address, names.clone(), notebook.clone())?);
    }
    writeln!(std::io::stdout(), "ready")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
