//! What the proxy saw of a connection, as it is written down.

use remit_audit::{Text, event};
use remit_proxy::Fact;

pub(super) fn seen(fact: Fact) -> event::Fact {
    match fact {
        Fact::Protocol { name, inspected } => {
            event::Fact::Protocol { name: name.to_owned(), inspected }
        }
        Fact::SshHostKey { algorithm, fingerprint } => {
            event::Fact::SshHostKey { algorithm, fingerprint }
        }
        Fact::SshCommand(command) => {
            event::Fact::SshCommand { command: Text::from(command.as_str()) }
        }
        Fact::Database { user, database } => event::Fact::Database {
            user: Text::from(user.as_str()),
            database: Text::from(database.as_str()),
        },
        Fact::Credential { name, request } => event::Fact::Credential { name, request },
    }
}
