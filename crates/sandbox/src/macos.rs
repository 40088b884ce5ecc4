//! The boundary as macOS enforces it. It compiles for macOS and has never run.

pub(crate) mod launch;
mod sys;

pub use launch::{Launched, Stopped};
