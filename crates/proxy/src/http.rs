//! Requests on a connection whose bytes are seen: each is parsed strictly, judged
//! by itself, and written anew.

pub(crate) mod hooks;
