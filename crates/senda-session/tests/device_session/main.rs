//! Device sessions in virtual time, against a collector that says what the test tells it to.

#![allow(
    clippy::single_range_in_vec_init,
    reason = "a list of the ranges of rows that were sent often has one entry"
)]

mod bench; // the device, its clock, and the scripted collector
mod delivery; // ACK, NACK, losses, windows
mod downlink; // CONFIG, COMMAND, ALERT, DONE, TIME, PING
mod handshake; // HELLO to WELCOME, CLOSE, new streams
mod hostile; // bytes that nobody should send
mod queue; // limits, SKIP, COUNTS
mod sparse; // rows in which channels are absent
mod streams; // old streams, and one that is left
