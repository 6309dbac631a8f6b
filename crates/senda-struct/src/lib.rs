//! Python-compatible `struct` format strings: pack, unpack and calcsize.
