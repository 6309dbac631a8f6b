//! Alert rules, and their way outwards.

mod properties;
mod rules; // what raises and what clears // of all rules, for whatever comes

mod rig;
