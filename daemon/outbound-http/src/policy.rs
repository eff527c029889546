//! Which addresses may be connected to.
//!
//! The check runs on resolved addresses, so a public name that suddenly resolves to `169.254.169.254` (DNS
//! rebinding) is refused like the literal. Ranges follow the IANA special-purpose address registries
//! (RFC 6890 and successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Any: for URLs that the operator typed just now.
    Any,
    /// Only addresses of the public Internet.
    Public,
    /// Public, private (RFC 1918, unique local, shared) and loopback addresses, but neither link-local nor the
    /// well-known metadata services of clouds.
    Private,
    /// Loopback only: the base URL says `localhost`.
    Loopback,
    /// This address only: the base URL has it as a literal.
    Exactly(IpAddr),
}

impl AddressPolicy {
    /// The policy for a base URL that the operator configured. A literal address, or `localhost`, says plainly where
    /// to go and binds there; any other name must resolve to public addresses unless `allow_private` was set.
    pub fn for_configured_host(host: &str, allow_private: bool) -> Self {
        if let Some(address) = parse_literal(host) {
            return AddressPolicy::Exactly(address);
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if host == "localhost" || host.ends_with(".localhost") {
            AddressPolicy::Loopback
        } else if allow_private {
            AddressPolicy::Private
        } else {
            AddressPolicy::Public
        }
    }

    /// Whether `address` may be connected to; else what kind of address it is.
    pub fn admit(self, address: IpAddr) -> Result<(), &'static str> {
        let address = address.to_canonical();
        let kind = kind(address);
        let admitted = match self {
            AddressPolicy::Any => true,
            AddressPolicy::Public => kind == Kind::Public,
            AddressPolicy::Private => {
                matches!(
                    kind,
                    Kind::Public | Kind::Private | Kind::Shared | Kind::Loopback
                )
            }
            AddressPolicy::Loopback => kind == Kind::Loopback,
            AddressPolicy::Exactly(only) => address == only.to_canonical(),
        };
        if admitted { Ok(()) } else { Err(kind.name()) }
    }
}

/// An address literal as it stands in a URL: `10.0.0.1`, `[::1]`.
pub(crate) fn parse_literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    Private,
    Shared,
    Loopback,
    LinkLocal,
    Metadata,
    Special,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Public => "public",
            Kind::Private => "private",
            Kind::Shared => "shared (carrier-grade NAT)",
            Kind::Loopback => "loopback",
            Kind::LinkLocal => "link-local",
            Kind::Metadata => "a cloud metadata service",
            Kind::Special => "reserved",
        }
    }
}

/// Metadata services outside the link-local ranges: Amazon's over IPv6, Alibaba's, Oracle's.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

fn kind(address: IpAddr) -> Kind {
    if METADATA.contains(&address) {
        return Kind::Metadata;
    }
    match address {
        IpAddr::V4(v4) => kind_v4(v4),
        IpAddr::V6(v6) => kind_v6(v6),
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [127, ..] => Kind::Loopback,
        [10, ..] | [192, 168, ..] => Kind::Private,
        [172, b, ..] if (16..32).contains(&b) => Kind::Private,
        [100, b, ..] if (64..128).contains(&b) => Kind::Shared,
        [169, 254, ..] => Kind::LinkLocal,
        // This network, protocol assignments, documentation, 6to4 relays, benchmarking, multicast, reserved.
        [0, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => Kind::Special,
        [198, 51, 100, _] | [203, 0, 113, _] | [224..=255, ..] => Kind::Special,
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    if address.is_loopback() {
        return Kind::Loopback;
    }
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        kind_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0xfc00..=0xfdff, ..] => Kind::Private,
        [0xfe80..=0xfebf, ..] => Kind::LinkLocal,
        // A translator reaches the embedded IPv4 address: judge that one (NAT64 RFC 6052, 6to4 RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Protocol assignments with Teredo, documentation.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Kind::Special,
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Special,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(policy: AddressPolicy, admitted: &[&str], refused: &[&str]) {
        for (addresses, expected) in [(admitted, true), (refused, false)] {
            for address in addresses {
                let parsed = address.parse().expect("a literal in the table");
                assert_eq!(
                    policy.admit(parsed).is_ok(),
                    expected,
                    "{policy:?} {address}"
                );
            }
        }
    }

    #[test]
    fn public_admits_only_the_internet() {
        check(
            AddressPolicy::Public,
            &[
                "1.1.1.1",
                "172.32.0.1",
                "100.128.0.1",
                "2606:4700::1111",
                "64:ff9b::808:808",
            ],
            &[
                "127.0.0.1",
                "10.1.2.3",
                "172.16.0.1",
                "192.168.1.1",
                "169.254.169.254",
                "100.64.0.1",
                "0.0.0.0",
                "255.255.255.255",
                "224.0.0.1",
                "198.18.0.1",
                "203.0.113.9",
                "::1",
                "::",
                "fe80::1",
                "fd00::1",
                "::ffff:127.0.0.1",
                "::ffff:10.0.0.1",
                "64:ff9b::a00:1",
                "2002:7f00:1::",
                "ff02::1",
                "2001:db8::1",
                "::7f00:1",
                "fec0::1",
                "fd00:ec2::254",
                "100.100.100.200",
            ],
        );
    }

    #[test]
    fn private_admits_the_house_but_no_metadata_service() {
        check(
            AddressPolicy::Private,
            &[
                "1.1.1.1",
                "10.1.2.3",
                "127.0.0.1",
                "::1",
                "fd00::1",
                "100.64.0.1",
                "::ffff:192.168.0.1",
            ],
            &[
                "169.254.169.254",
                "fe80::1",
                "fd00:ec2::254",
                "100.100.100.200",
                "192.0.0.192",
                "0.0.0.0",
            ],
        );
    }

    #[test]
    fn a_configured_literal_binds_to_itself() {
        let policy = AddressPolicy::for_configured_host("10.0.0.5", false);
        check(
            policy,
            &["10.0.0.5", "::ffff:10.0.0.5"],
            &["10.0.0.6", "1.1.1.1", "127.0.0.1"],
        );
        let policy = AddressPolicy::for_configured_host("[::1]", false);
        check(policy, &["::1"], &["127.0.0.1"]);
        let policy = AddressPolicy::for_configured_host("LocalHost.", false);
        check(policy, &["127.0.0.1", "::1"], &["10.0.0.5", "1.1.1.1"]);
        assert_eq!(
            AddressPolicy::for_configured_host("example.com", false),
            AddressPolicy::Public
        );
        assert_eq!(
            AddressPolicy::for_configured_host("alertmanager", true),
            AddressPolicy::Private
        );
    }
}
