//! Name resolution that lets only admitted addresses through.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use crate::policy::AddressPolicy;

/// The system's resolver behind an [`AddressPolicy`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct VettingResolver {
    pub policy: AddressPolicy,
}

/// Why a name gave no usable address. Travels inside the connector's error and is found again by downcast.
#[derive(Debug)]
pub(crate) enum ResolveFailure {
    Refused { address: IpAddr, kind: &'static str },
    NotFound(String),
}

impl fmt::Display for ResolveFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveFailure::Refused { address, kind } => write!(f, "address {address} is {kind}"),
            ResolveFailure::NotFound(reason) => f.write_str(reason),
        }
    }
}

impl Error for ResolveFailure {}

impl Service<Name> for VettingResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = ResolveFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = self.policy;
        Box::pin(async move {
            let not_found = |e: io::Error| ResolveFailure::NotFound(e.to_string());
            // The port is set by the connector afterwards.
            let found = tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map_err(not_found)?;
            vet(policy, found).map(Vec::into_iter)
        })
    }
}

/// Keeps the admitted addresses. One that is refused does not spoil the others: only kept ones are ever connected to.
fn vet(
    policy: AddressPolicy,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, ResolveFailure> {
    let mut refused = None;
    let mut admitted = Vec::new();
    for address in found {
        match policy.admit(address.ip()) {
            Ok(()) => admitted.push(address),
            Err(kind) => {
                refused = Some(ResolveFailure::Refused {
                    address: address.ip(),
                    kind,
                })
            }
        }
    }
    match refused {
        _ if !admitted.is_empty() => Ok(admitted),
        Some(failure) => Err(failure),
        None => Err(ResolveFailure::NotFound("the name has no address".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_answer_keeps_only_admitted_addresses() {
        let found = ["10.0.0.1:0", "1.1.1.1:0", "[::1]:0"].map(|a| a.parse().expect("literal"));
        let admitted = vet(AddressPolicy::Public, found.into_iter()).expect("one is public");
        assert_eq!(admitted, ["1.1.1.1:0".parse().expect("literal")]);
        let failure =
            vet(AddressPolicy::Public, found[..1].iter().copied()).expect_err("none is public");
        assert_eq!(failure.to_string(), "address 10.0.0.1 is private");
    }
}
