//! `senda lab sockets` beside `ss`.
