//! A registry of packages on loopback that holds one package, as npm asks for it.
//!
//! SOURCE: npm's registry API, "package metadata": a document by name, which
//! names a tarball by address and digest.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;
use tiny_http::{Request, Response, Server};

/// A package in one version.
#[derive(Clone, Debug)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// What `npm pack` would make.
    pub tarball: Vec<u8>,
}

/// A registry that listens until it is dropped.
pub struct Registry {
    address: SocketAddr,
    server: Arc<Server>,
    asked: Arc<Mutex<Vec<String>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({})", self.address)
    }
}

impl Registry {
    /// Listens on a free port of the loopback.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn start(package: Package) -> io::Result<Self> {
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let server = Arc::new(Server::http(any).map_err(io::Error::other)?);
        let address =
            server.server_addr().to_ip().ok_or_else(|| io::Error::other("no IP address"))?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (serving, seen) = (Arc::clone(&server), Arc::clone(&asked));
        let thread = thread::spawn(move || {
            while let Ok(request) = serving.recv() {
                if let Ok(mut seen) = seen.lock() {
                    seen.push(request.url().to_owned());
                }
                answer(request, &package, address);
            }
        });
        Ok(Self { address, server, asked, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The paths asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(request: Request, package: &Package, address: SocketAddr) {
    let Package { name, version, tarball } = package;
    let path = request.url().split('?').next().unwrap_or_default();
    let file = format!("/{name}/-/{name}-{version}.tgz");
    let reply = if path == file {
        Response::from_data(tarball.clone())
    } else if path == format!("/{name}") {
        let manifest = json!({
            "name": name, "version": version, "scripts": { "install": "node made.js" },
            "hasInstallScript": true, "dist": { "tarball": format!("http://{address}{file}") },
        });
        let whole = json!({
            "name": name, "dist-tags": { "latest": version }, "versions": { version: manifest },
        });
        Response::from_data(whole.to_string().into_bytes())
    } else {
        // Known faults of packages: none.
        Response::from_data(b"{}".to_vec())
    };
    // npm may have gone away; that is its business.
    let _ = request.respond(reply);
}
