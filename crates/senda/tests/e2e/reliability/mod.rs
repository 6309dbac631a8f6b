//! The promises of `docs/reliability.md` on a real machine: a kernel, its files and sockets, and what goes wrong there.

mod calls; // what strace wrote
mod failing_syncs; // EIO
mod full_disk; // ENOSPC
mod order; // no ACK before the sync that covers it: the rule, judged over calls
mod rounds; // SIGKILL, again and again
mod traced; // the rule, on a collector under strace
mod watched; // fleets and single devices
