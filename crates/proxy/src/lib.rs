//! Carries. Every connection of the agent ends here, under the name it was
//! looked up by, and goes on only with a permit.
//!
//! Lookups are answered with synthetic addresses ([`Names`]), so no query leaves
//! the machine before a verdict. A captured connection arrives with the attempt
//! that was judged for it ([`Capture`]) and the [`Gate`] to ask about it; the proxy
//! knows neither rules nor the record.
#![forbid(unsafe_code)]

mod agent;
mod cache;
mod capture;
mod credentials;
mod data;
mod dial;
mod dns;
mod explain;
mod explicit;
mod flow;
mod hosts;
mod http;
mod meter;
mod names;
mod postgres;
mod relay;
mod route;
mod serve;
mod shared;
mod sniff;
mod ssh;
mod tls;
pub mod trust;
#[cfg(test)]
mod witness;

pub use cache::{Answers, AnswersError};
pub use capture::{Admission, Capture, Captured};
pub use credentials::{
    AwsKey, Bound, Credentials, CredentialsError, Form, Loaded, Secret, SecretError,
};
pub use dns::{serve_datagrams, serve_streams};
pub use meter::Caps;
pub use names::{Lookups, Names, Ranges};
pub use serve::serve;
pub use shared::Shared;
pub use ssh::{SshKeys, SshKeysError};
pub use tls::{Authority, AuthorityError, RootsError, Tls, Upstream};

use std::future::Future;
use std::net::IpAddr;

use ::http::HeaderValue;
use remit_policy::{Connect, Handling, Host, Permit, Port, Refusal, Request, Upload};

/// What the proxy asks and tells about one captured connection, of the one who
/// judges and records. Cheap to clone; all clones speak of the same connection.
pub trait Gate: Clone + Send + Sync + 'static {
    /// Checks one address that a permitted name really has, or that was given
    /// literally, before it is dialled.
    fn address(&self, permitted: &Connect, answer: IpAddr) -> Result<(), Refusal>;

    /// The way on which the permitted connection leaves.
    fn way(&self, permitted: &Connect) -> Way;

    /// How the permitted connection is to be treated.
    fn handling(&self, permitted: &Connect) -> Handling;

    /// The most that may be sent on it.
    fn caps(&self, permitted: &Connect) -> Caps;

    /// A connection asked for in the words of a proxy protocol, by the process
    /// that this gate speaks of. Judged, written down, asked about; what comes
    /// back speaks of the new connection.
    fn connect(
        &self,
        host: Host,
        port: Port,
    ) -> impl Future<Output = Result<(Self, Permit<Connect>), Refusal>> + Send;

    /// A request on the permitted connection. Judged, written down, asked about.
    fn request(&self, request: Request) -> impl Future<Output = Result<Requested, Refusal>> + Send;

    /// What looks like a secret, in the body of a permitted request. Judged, written
    /// down, asked about; the request waits.
    fn upload(
        &self,
        upload: Upload,
    ) -> impl Future<Output = Result<Permit<Upload>, Refusal>> + Send;

    /// The request of this number was answered, or broke off.
    fn answered(&self, number: u64, answered: Answered);

    /// Something was seen of the connection that its name does not say.
    fn noted(&self, fact: Fact);

    /// The connection was refused here, after its permit: writes it down.
    fn refused(&self, refusal: &Refusal);

    /// The permitted connection could not be made, or broke.
    fn failed(&self, error: String);

    /// The connection ended.
    fn ended(&self, carried: Carried);

    /// Ends when a change of the policy no longer permits the connection, or not
    /// as it is treated. Changes since its verdict count, however late this is asked.
    fn revoked(&self, permitted: &Connect) -> impl Future<Output = Refusal> + Send;
}

/// The way to a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Way {
    #[default]
    Direct,
    /// By an HTTP proxy, whose address is the person's setting and is not judged.
    Proxy {
        host: Host,
        port: Port,
        /// What it is told in `proxy-authorization`; never shown.
        authorization: Option<HeaderValue>,
    },
}

/// A request that may be sent, and the number it has in the record.
#[derive(Debug)]
pub struct Requested {
    pub number: u64,
    pub permit: Permit<Request>,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Absent when no answer came.
    pub status: Option<u16>,
    /// Bytes of its body.
    pub sent: u64,
    /// Bytes of the answer's body.
    pub received: u64,
}

/// What was seen of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// What is spoken, in the field's usual word: `tls`, `http`, `ssh`,
    /// `postgresql`, `other`; and whether it was ended here to judge requests.
    Protocol { name: &'static str, inspected: bool },
    /// SHA-256 of the server's SSH key, as `SHA256:…` in base64 without padding.
    SshHostKey { algorithm: String, fingerprint: String },
    /// A command that was run over SSH, and as whom.
    SshCommand { user: String, command: String },
    /// The database that a PostgreSQL client asked for.
    Database { user: String, database: String },
    /// A named secret was put into the request of this number.
    Credential { name: String, request: u64 },
}

/// What a connection carried, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Bytes from the agent to the host.
    pub sent: u64,
    /// Bytes from the host to the agent.
    pub received: u64,
    pub reason: &'static str,
}
