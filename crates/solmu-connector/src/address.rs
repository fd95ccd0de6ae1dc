//! Who is calling: the peer's address, or what a trusted proxy says of it.
//!
//! `X-Forwarded-For` is written by whoever wants to; it is believed only as far as the hops that the operator named
//! reach, read from the nearest hop on.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use axum::http::HeaderMap;

/// Text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a network: expected an address or a prefix such as 10.0.0.0/8 or fd00::/8")]
pub struct BadNetwork(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    base: u128,
    bits: u32,
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadNetwork(text.to_owned());
        let (address, length) = text
            .split_once('/')
            .map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.trim().parse().map_err(|_| bad())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length: u32 =
            length.map_or(Ok(width), |length| length.trim().parse().map_err(|_| bad()))?;
        if length > width {
            return Err(bad());
        }
        // IPv4 is handled as ::ffff:a.b.c.d, so that one comparison does for both.
        let bits = length + (128 - width);
        Ok(Self {
            base: number(address) & mask(bits),
            bits,
        })
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        number(address) & mask(self.bits) == self.base
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

const fn mask(bits: u32) -> u128 {
    if bits == 0 {
        0
    } else {
        u128::MAX << (128 - bits)
    }
}

/// The hops whose word on the client's address is taken.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<Network>);

impl Proxies {
    /// Takes networks as the configuration writes them.
    pub fn parse(networks: &[String]) -> Result<Self, BadNetwork> {
        networks
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The client's address.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        let said = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = said.flat_map(|value| value.split(',')).collect();
        for hop in hops.into_iter().rev() {
            if !self.trusts(client) {
                break;
            }
            let Ok(next) = hop.trim().parse() else { break };
            client = next;
        }
        client.to_canonical()
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// What a rate limit counts as one caller: an IPv4 address, or the /64 that one IPv6 subscriber has.
#[must_use]
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask(64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<String> = trusted.iter().map(|&text| text.to_owned()).collect();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        Proxies::parse(&trusted)
            .unwrap()
            .client(peer.parse().unwrap(), &headers)
            .to_string()
    }

    #[test]
    fn nobody_is_believed_unless_named() {
        assert_eq!(client(&[], "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(
            client(&["10.0.0.0/8"], "192.0.2.1", &["203.0.113.9"]),
            "192.0.2.1"
        );
    }

    #[test]
    fn hops_are_read_from_the_nearest_on() {
        let trusted = ["10.0.0.0/8", "::1"];
        assert_eq!(
            client(&trusted, "10.1.1.1", &["6.6.6.6, 203.0.113.9"]),
            "203.0.113.9"
        );
        assert_eq!(
            client(&trusted, "10.1.1.1", &["6.6.6.6, 203.0.113.9, 10.2.2.2"]),
            "203.0.113.9"
        );
        assert_eq!(
            client(&trusted, "::1", &["6.6.6.6", "203.0.113.9"]),
            "203.0.113.9"
        );
        assert_eq!(client(&trusted, "10.1.1.1", &["unknown"]), "10.1.1.1");
        assert_eq!(
            client(&trusted, "::ffff:10.1.1.1", &["203.0.113.9"]),
            "203.0.113.9"
        );
    }

    #[test]
    fn subscribers() {
        let same = |text: &str| subscriber(text.parse().unwrap()).to_string();
        assert_eq!(same("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(same("::ffff:192.0.2.7"), "192.0.2.7");
    }

    #[test]
    fn bad_networks_are_refused() {
        for text in ["", "10.0.0.0/33", "::/129", "host", "10.0.0.0/x"] {
            assert!(Proxies::parse(&[text.to_owned()]).is_err(), "{text}");
        }
    }
}
