//! What the kernel received for a UDP socket and had to throw away.
//!
//! Of the three ways to ask, this is the one that needs nothing but the socket. `SO_RXQ_OVFL` tells the same counter, but only
//! along with the next datagram that gets through, in a control message that `quinn-udp` leaves out; `/proc/net/udp` lists all
//! sockets of a network namespace and may not be mounted; netlink's `sock_diag` is a conversation, and some sandboxes forbid
//! it. `SO_MEMINFO` (Linux 4.12) is one system call and reads `sk_drops` itself: a full receive buffer above all, and
//! damaged checksums. With GRO, a train of datagrams that is thrown away counts as one.

use std::os::fd::{AsFd, AsRawFd};

/// Words of the answer, and which of them counts drops (linux/sock_diag.h).
const WORDS: usize = 9;
const DROPS: usize = 8;

/// Datagrams that this socket's kernel has thrown away since it was opened, modulo 2^32; `None`: the kernel does not say.
#[expect(unsafe_code, reason = "no crate that is used here has SO_MEMINFO")]
pub(crate) fn dropped(socket: impl AsFd) -> Option<u32> {
    let mut words = [0u32; WORDS];
    let mut len = libc::socklen_t::try_from(size_of_val(&words)).ok()?;
    // SAFETY: the descriptor is borrowed, so it is open; `words` has room for `len` bytes, and any bytes are good u32s.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    let is_whole = usize::try_from(len).is_ok_and(|len| len >= size_of_val(&words));
    (result == 0 && is_whole).then_some(words[DROPS])
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn what_a_full_buffer_throws_away_is_counted_exactly() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(dropped(&socket), Some(0));
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4_096);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(socket.local_addr().unwrap()).unwrap();
        let sent = (0..500).filter(|_| sender.send(&[7; 500]).is_ok()).count();
        socket.set_nonblocking(true).unwrap();
        let mut received = 0;
        while socket.recv(&mut [0; 500]).is_ok() {
            received += 1;
        }
        assert!(received < sent, "the buffer was full: {received} of {sent}");
        assert_eq!(dropped(&socket), u32::try_from(sent - received).ok());
    }
}
