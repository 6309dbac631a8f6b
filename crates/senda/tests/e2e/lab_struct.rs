//! `senda lab pack`, `unpack` and `calcsize`.
