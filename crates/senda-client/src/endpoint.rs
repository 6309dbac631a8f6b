//! Where a collector is: transport, host, port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use senda_session::device::Transport;

/// The port of a collector unless told otherwise: "SEND" on a phone keypad.
pub const PORT_DEFAULT: u16 = 7363;

/// A collector's address. Written `udp://HOST[:PORT]`, `tcp://HOST[:PORT]`, or `HOST[:PORT]` for UDP. HOST is a name, an IPv4
/// address, or an IPv6 address, in brackets when a port follows. A name is looked up anew for each connection.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Endpoint {
    /// What carries the session.
    pub transport: Transport,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Local address to send from; `None`: the system chooses.
    pub bind: Option<IpAddr>,
    /// Size of the kernel's buffers, bytes; `None`: the system's default.
    pub socket_buffer: Option<usize>,
}

impl Endpoint {
    /// An endpoint with the system's choices for everything else.
    pub fn new(transport: Transport, host: &str, port: u16) -> Self {
        Self { transport, host: host.into(), port, bind: None, socket_buffer: None }
    }

    /// Reads `HOST[:PORT]`.
    ///
    /// # Errors
    /// [`EndpointError`]
    pub fn parse(transport: Transport, address: &str) -> Result<Self, EndpointError> {
        let wrong = |why| EndpointError { address: address.into(), why };
        let (host, port) = if let Some(rest) = address.strip_prefix('[') {
            let (host, after) =
                rest.split_once(']').ok_or_else(|| wrong("the bracket stays open"))?;
            host.parse::<Ipv6Addr>().map_err(|_| wrong("brackets are for IPv6 addresses"))?;
            let port = match after {
                "" => None,
                port => Some(port.strip_prefix(':').ok_or_else(|| wrong("a port follows ]:"))?),
            };
            (host, port)
        } else if address.parse::<Ipv6Addr>().is_ok() {
            (address, None)
        } else {
            match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            }
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(wrong("there is no host"));
        }
        let port = port.map_or(Ok(PORT_DEFAULT), |port| {
            port.parse().map_err(|_| wrong("the port is no number from 0 to 65535"))
        })?;
        Ok(Self::new(transport, host, port))
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        match text.split_once("://") {
            Some(("udp", address)) => Self::parse(Transport::Udp, address),
            Some(("tcp", address)) => Self::parse(Transport::Tcp, address),
            Some(_) => {
                Err(EndpointError { address: text.into(), why: "only udp:// and tcp:// exist" })
            }
            None => Self::parse(Transport::Udp, text),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// A text is no address of a collector.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{address}` is no address: {why}")]
pub struct EndpointError {
    /// The text.
    pub address: String,
    /// What is wrong with it.
    pub why: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, wanted) in [
            ("127.0.0.1", "udp://127.0.0.1:7363"),
            ("tcp://collector.example", "tcp://collector.example:7363"),
            ("collector.example:9", "udp://collector.example:9"),
            ("tcp://[::1]:80", "tcp://[::1]:80"),
            ("::1", "udp://[::1]:7363"),
            ("udp://[fe80::1]", "udp://[fe80::1]:7363"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), wanted);
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for text in
            ["", ":7", "host:port", "host:70000", "http://x", "[::1", "[x]:1", "[::1]7", "a b"]
        {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
