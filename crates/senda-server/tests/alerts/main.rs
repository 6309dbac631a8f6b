//! Alert rules, and their way outwards.

mod programs; // told by a program
mod properties; // what holds for every rule
mod rules; // what raises and what clears
mod webhooks; // told by HTTP

mod hooks; // servers that answer as they are told
mod rig; // rules and rows in a few words
