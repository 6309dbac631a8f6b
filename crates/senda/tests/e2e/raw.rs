//! Devices that don't speak Senda/1.
