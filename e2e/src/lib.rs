//! Test doubles of the world outside the boundary: a model that agents can
//! talk to, a registry of packages, and a witness of what reaches a network.
#![forbid(unsafe_code)]

pub mod mock_model;
pub mod registry;
pub mod witness;
