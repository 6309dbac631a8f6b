//! Proof of addresses: stateless cookies, and a limit on answers to strangers. Spec §9.

use alloc::collections::{BTreeSet, VecDeque};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{Entropy, Instant};

/// A secret is replaced after this time; the one before stays valid for the cookies that it made. Spec §9.1.
const SECRET_LIFE: Duration = Duration::from_secs(120);
/// A cookie is good for this time. Spec §9.1.
const COOKIE_LIFE: Duration = Duration::from_secs(20);
/// Bytes of a cookie: the second it was made, and half an HMAC-SHA256.
pub(super) const COOKIE_LEN: usize = 20;
/// Strangers that are remembered in order to answer each at most once a second.
const STRANGERS_MAX: usize = 4096;
/// One CLOSE 401 for each address in this time. Spec §6.6b.
const STRANGER_PAUSE: Duration = Duration::from_secs(1);

/// Makes and checks RETRY cookies without keeping anything about who gets them.
#[derive(Debug)]
pub(super) struct Cookies {
    current: [u8; 32],
    previous: [u8; 32],
    made: Instant,
}

impl Cookies {
    pub(super) fn new(now: Instant, entropy: &mut Entropy) -> Self {
        Self { current: entropy.bytes(), previous: entropy.bytes(), made: now }
    }

    /// The cookie for this address, device and moment.
    pub(super) fn make(
        &mut self,
        now: Instant,
        entropy: &mut Entropy,
        remote: SocketAddr,
        device: &str,
    ) -> [u8; COOKIE_LEN] {
        self.rotate(now, entropy);
        sign(&self.current, remote, device, seconds(now))
    }

    /// True when `cookie` was made for this address and device not long ago. Spec §9.1b.
    pub(super) fn check(
        &mut self,
        now: Instant,
        entropy: &mut Entropy,
        remote: SocketAddr,
        device: &str,
        cookie: &[u8],
    ) -> bool {
        self.rotate(now, entropy);
        let Some((&[a, b, c, d], _)) = cookie.split_first_chunk::<4>() else {
            return false;
        };
        let made = u32::from_be_bytes([a, b, c, d]);
        let fresh = seconds(now)
            .checked_sub(made)
            .is_some_and(|age| u64::from(age) <= COOKIE_LIFE.as_secs());
        let matches = |secret| constant_time_eq(&sign(secret, remote, device, made), cookie);
        fresh && (matches(&self.current) || matches(&self.previous))
    }

    fn rotate(&mut self, now: Instant, entropy: &mut Entropy) {
        if now.since(self.made) >= SECRET_LIFE {
            self.previous = core::mem::replace(&mut self.current, entropy.bytes());
            self.made = now;
        }
    }
}

/// Seconds of the engine's clock; wraps after 136 years.
fn seconds(now: Instant) -> u32 {
    u32::try_from((now.0 / 1_000_000) & 0xFFFF_FFFF).unwrap_or(0)
}

fn sign(secret: &[u8; 32], remote: SocketAddr, device: &str, made: u32) -> [u8; COOKIE_LEN] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of every length");
    match remote.ip() {
        IpAddr::V4(ip) => mac.update(&ip.to_ipv6_mapped().octets()),
        IpAddr::V6(ip) => mac.update(&ip.octets()),
    }
    mac.update(&remote.port().to_be_bytes());
    mac.update(&made.to_be_bytes());
    mac.update(device.as_bytes());
    let tag = mac.finalize().into_bytes();
    let mut cookie = [0; COOKIE_LEN];
    let (time, half) = cookie.split_at_mut(4);
    time.copy_from_slice(&made.to_be_bytes());
    half.copy_from_slice(&tag[..COOKIE_LEN - 4]);
    cookie
}

fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

/// Who was told lately that their session is unknown. Spec §6.6b.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    told: BTreeSet<SocketAddr>,
    /// The same, the oldest first.
    order: VecDeque<(Instant, SocketAddr)>,
}

impl Strangers {
    /// True when `address` may be answered now; then it counts as answered.
    pub(super) fn may_tell(&mut self, now: Instant, address: SocketAddr) -> bool {
        while let Some((told, oldest)) = self.order.front().copied()
            && now.since(told) >= STRANGER_PAUSE
        {
            self.order.pop_front();
            self.told.remove(&oldest);
        }
        // A full table means a flood: say nothing rather than remember more.
        if self.told.len() >= STRANGERS_MAX || !self.told.insert(address) {
            return false;
        }
        self.order.push_back((now, address));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000)
    }

    /// Spec §9.1b.
    #[test]
    fn a_cookie_is_good_for_its_address_and_device_for_a_while() {
        let mut entropy = Entropy::new([7; 32]);
        let mut cookies = Cookies::new(at(0), &mut entropy);
        let home: SocketAddr = "192.0.2.1:5000".parse().unwrap();
        let cookie = cookies.make(at(110), &mut entropy, home, "gh-7");
        let mut check = |now, remote: &str, device, cookie: &[u8]| {
            cookies.check(now, &mut entropy, remote.parse().unwrap(), device, cookie)
        };
        assert!(check(at(110), "192.0.2.1:5000", "gh-7", &cookie));
        assert!(
            check(at(125), "192.0.2.1:5000", "gh-7", &cookie),
            "the secret changed, the cookie stays good"
        );
        assert!(!check(at(126), "192.0.2.1:5001", "gh-7", &cookie), "another port");
        assert!(!check(at(126), "192.0.2.2:5000", "gh-7", &cookie), "another address");
        assert!(!check(at(126), "192.0.2.1:5000", "gh-8", &cookie), "another device");
        assert!(!check(at(131), "192.0.2.1:5000", "gh-7", &cookie), "too old");
        assert!(!check(at(126), "192.0.2.1:5000", "gh-7", &cookie[..19]));
        assert!(!check(at(126), "192.0.2.1:5000", "gh-7", &[]));
    }

    /// Spec §6.6b.
    #[test]
    fn a_stranger_is_told_once_a_second_and_a_flood_not_at_all() {
        let mut strangers = Strangers::default();
        let address = |n: u32| SocketAddr::new(IpAddr::V4(n.into()), 5000);
        assert!(strangers.may_tell(at(1), address(0)));
        assert!(!strangers.may_tell(at(1), address(0)));
        assert!(strangers.may_tell(at(2), address(0)));
        let told = (1..9999).filter(|n| strangers.may_tell(at(2), address(*n))).count();
        assert_eq!(told, STRANGERS_MAX - 1);
        assert_eq!(strangers.order.len(), STRANGERS_MAX);
        assert!(strangers.may_tell(at(3), address(9999)));
        assert_eq!((strangers.order.len(), strangers.told.len()), (1, 1));
    }
}
