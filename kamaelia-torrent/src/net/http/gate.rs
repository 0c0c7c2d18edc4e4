//! The gate for outgoing HTTP requests: which addresses a tracker, or a redirect from it, may lead to.
//!
//! A .torrent file makes this program send requests to wherever its author likes, also to services on this machine
//! and in the local network that trust their neighbours (server-side request forgery). The decision falls after the
//! name is resolved, for exactly the addresses that are then connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How far away an address is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// This machine, or the metadata services that cloud machines find at link-local addresses.
    Machine,
    /// A private network.
    Local,
    /// The internet.
    Global,
    /// Multicast and the like: nothing to connect to.
    Nowhere,
}

/// Decides about the addresses of one request. A worker has one and sets it up before each hop.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    classify: fn(IpAddr) -> Reach,
    hop: Arc<Mutex<Hop>>,
}

/// What is known of the hop under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Hop {
    /// An earlier hop went to the internet: no way back into the local network.
    pub(super) global_only: bool,
    /// It may lead to this machine: the path is that of a tracker, or a person typed the URL.
    pub(super) may_be_here: bool,
    /// Filled in: an address on the internet was given out.
    pub(super) went_global: bool,
    /// Filled in: why no address was given out.
    pub(super) refused: Option<&'static str>,
}

impl Gate {
    pub(super) fn new(classify: fn(IpAddr) -> Reach) -> Gate {
        Gate { classify, hop: Arc::default() }
    }

    pub(super) fn begin(&self, hop: Hop) {
        *self.hop.lock().unwrap_or_else(PoisonError::into_inner) = hop;
    }

    pub(super) fn hop(&self) -> Hop {
        self.hop.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn admits(&self, hop: &mut Hop, addr: SocketAddr) -> bool {
        let refused = match (self.classify)(addr.ip().to_canonical()) {
            Reach::Global => {
                hop.went_global = true;
                return true;
            }
            Reach::Nowhere => "not an address to connect to",
            _ if hop.global_only => "redirect from the internet into the local network",
            Reach::Machine if !hop.may_be_here => "path on this machine does not end in /announce",
            Reach::Machine | Reach::Local => return true,
        };
        hop.refused = Some(refused);
        false
    }
}

impl Resolver for Gate {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let mut hop = self.hop.lock().unwrap_or_else(PoisonError::into_inner);
        let mut admitted = self.empty();
        for addr in found.iter().filter(|addr| self.admits(&mut hop, **addr)) {
            admitted.push(*addr);
        }
        if admitted.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(admitted) }
    }
}

/// How far away an address really is.
pub(super) fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    let [a, b, ..] = ip.octets();
    if ip.is_multicast() || ip.is_broadcast() || a >= 240 {
        Reach::Nowhere
    } else if ip.is_loopback() || a == 0 || ip.is_link_local() {
        // Connecting to 0.0.0.0 reaches this machine.
        Reach::Machine
    } else if ip.is_private() || (a == 100 && b & 0xc0 == 64) {
        Reach::Local
    } else {
        Reach::Global
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    let segments = ip.segments();
    // NAT64 (RFC 6052) and 6to4 (RFC 3056) carry an IPv4 address.
    let embedded = match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    };
    if let Some(v4) = embedded {
        reach_v4(v4)
    } else if ip.is_multicast() {
        Reach::Nowhere
    } else if ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local() {
        Reach::Machine
    } else if ip.is_unique_local() {
        Reach::Local
    } else {
        Reach::Global
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        for (ip, expected) in [
            ("127.0.0.1", Reach::Machine),
            ("127.9.9.9", Reach::Machine),
            ("0.0.0.0", Reach::Machine),
            ("169.254.169.254", Reach::Machine),
            ("::1", Reach::Machine),
            ("::", Reach::Machine),
            ("fe80::1", Reach::Machine),
            ("64:ff9b::7f00:1", Reach::Machine),
            ("2002:7f00:1::", Reach::Machine),
            ("10.0.0.1", Reach::Local),
            ("172.31.0.1", Reach::Local),
            ("192.168.1.1", Reach::Local),
            ("100.64.0.1", Reach::Local),
            ("fd00::1", Reach::Local),
            ("8.8.8.8", Reach::Global),
            ("100.128.0.1", Reach::Global),
            ("2001:4860::1", Reach::Global),
            ("224.0.0.1", Reach::Nowhere),
            ("255.255.255.255", Reach::Nowhere),
            ("ff02::1", Reach::Nowhere),
        ] {
            assert_eq!(reach(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[test]
    fn mapped_addresses_do_not_slip_through() {
        let gate = Gate::new(reach);
        let mut hop = Hop { global_only: true, ..Hop::default() };
        for addr in ["[::ffff:127.0.0.1]:80", "[::ffff:10.0.0.1]:80", "127.0.0.1:80"] {
            assert!(!gate.admits(&mut hop, addr.parse().unwrap()), "{addr}");
        }
        assert!(gate.admits(&mut hop, "8.8.8.8:80".parse().unwrap()) && hop.went_global);
    }
}
