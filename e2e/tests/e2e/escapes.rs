//! The escape catalogue: every published and imagined way out that has no test
//! of its own theme, each with the attempt inside, a look from the host, and a
//! control that shows the same attempt succeed without Remit.
//!
//! Names begin with the identifier of the case; `docs/escapes.md` lists all.

mod a;
mod attempts;
mod c;
mod d;
mod devices;
mod e;
mod git;
mod probe;
mod races;
mod secrets;
mod sockets;
mod surface;

use crate::scenario::Scenario;

pub fn all() -> Vec<Scenario> {
    [
        a::all(),
        git::all(),
        c::all(),
        secrets::all(),
        devices::all(),
        d::all(),
        surface::all(),
        sockets::all(),
        e::all(),
        races::all(),
    ]
    .concat()
}
