//! What the tests of the collector's engine share: a model store, a scripted device, and the rig that joins them.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses a part of it")]

pub mod rig;
pub mod script;
pub mod store;
pub mod world;

pub use rig::{Got, Rig, at, secs};
pub use script::{Script, message, raw};
pub use world::{Net, World};
