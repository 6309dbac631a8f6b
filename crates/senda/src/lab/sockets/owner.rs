//! Which process has which socket: `/proc/PID/fd`, as far as it may be read.

use std::collections::{HashMap, HashSet};

use procfs::process::{FDTarget, Process, all_processes};

/// A process that holds a socket. One socket may have several: children inherit it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Owner {
    pub(super) pid: i32,
    /// What it calls itself, without orders to a terminal.
    pub(super) name: String,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.name, self.pid)
    }
}

/// The owners of these inodes, by inode. Processes of other users show theirs to root only, and are left out.
pub(super) fn owners(inodes: &HashSet<u64>) -> HashMap<u64, Vec<Owner>> {
    let mut found: HashMap<u64, Vec<Owner>> = HashMap::new();
    if inodes.is_empty() {
        return found;
    }
    let Ok(processes) = all_processes() else { return found };
    // Processes and their files come and go under our eyes: what can't be read is not there.
    for process in processes.flatten() {
        let Ok(files) = process.fd() else { continue };
        let mut sockets: Vec<u64> = files
            .flatten()
            .filter_map(|file| match file.target {
                FDTarget::Socket(inode) if inodes.contains(&inode) => Some(inode),
                _ => None,
            })
            .collect();
        if sockets.is_empty() {
            continue;
        }
        sockets.sort_unstable();
        sockets.dedup(); // dup() makes two files of one socket.
        let owner = Owner { pid: process.pid(), name: name(&process) };
        for inode in sockets {
            found.entry(inode).or_default().push(owner.clone());
        }
    }
    found.values_mut().for_each(|owners| owners.sort_unstable());
    found
}

/// A process chooses its name, and the bytes of it: they are not obeyed, they are shown.
fn name(process: &Process) -> String {
    let comm = std::fs::read(format!("/proc/{}/comm", process.pid())).unwrap_or_default();
    let comm = comm.strip_suffix(b"\n").unwrap_or(&comm);
    printable(&String::from_utf8_lossy(comm))
}

/// Control characters as `\u{1b}`.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::lab::sockets::diag::{Query, sockets};

    #[test]
    fn a_socket_of_this_process_has_one_owner_however_many_files_it_has() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let _second = socket.try_clone().expect("a file");
        let local = socket.local_addr().expect("a port");
        let query = Query { tcp: false, udp: true, bound: false };
        let told = sockets(query).expect("the kernel tells");
        let told = told.iter().find(|told| told.local == local).expect("it is there");
        let owners = owners(&HashSet::from([told.inode]));
        let pids: Vec<_> = owners[&told.inode].iter().map(|owner| owner.pid).collect();
        assert_eq!(pids, [i32::try_from(std::process::id()).expect("a process number")]);
    }

    #[test]
    fn a_name_gives_the_terminal_no_orders() {
        assert_eq!(printable("señal \u{1b}[2J\u{9b}"), "señal \\u{1b}[2J\\u{9b}");
    }
}
