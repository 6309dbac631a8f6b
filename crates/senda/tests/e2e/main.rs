//! The whole road through the real `senda` program: processes, sockets, a disk. Nothing is simulated here but devices.
//!
//! A test starts what it needs: ports that the system chose, a temporary directory, children that end with the test.
//! It waits for what it can see, never for a time.

mod alerts; // rules, and who hears of them
mod audit; // `senda audit`, journals, the ledger
mod by_hand; // one conversation from the specification, byte by byte
mod c_client; // clients/c
mod captures; // `senda decode` and the Wireshark dissector on captures
mod clocks; // devices whose clocks drift, step, start at 1970, or are not there
mod commands; // what the other subcommands print, and their exit codes
mod conform; // senda conform
mod control; // the API: commands, settings, devices, tail
mod crashes; // SIGKILL and SIGTERM in mid-stream
mod demo; // `senda demo`
mod fleets; // fleets on good and bad networks
mod front_door; // what anybody may throw at a collector
mod lab_api; // `senda lab api`
mod lab_datagrams; // `senda lab udp-recv` and `udp-send`, and echo over UDP
mod lab_echo; // `senda lab echo-server` and `echo-client` over TCP
mod lab_handout; // the same against the handout's own programs
mod lab_sockets; // `senda lab sockets`, against ss
mod lab_struct; // `senda lab pack`, `unpack`, `calcsize`
mod manuals; // `senda man`
mod namespace; // a network of a test's own
mod processes; // children, and what they say
mod proxy; // `senda proxy`
mod python; // clients/python/senda.py
mod raw; // devices that don't speak Senda/1
mod recorder; // captures of what was really said
mod reliability; // the promises on a real machine: order of system calls, failing and full disks, kills
mod sends; // `senda send`
mod sense; // `senda sense`
mod store; // what is in a store, by asking `senda query`
mod tshark; // what tshark shows
mod uplinks; // `senda sense --spool`, UDP and TCP in one stream
mod vectors; // spec/vectors
mod wire;
mod worlds; // Senda/1 from the specification alone
