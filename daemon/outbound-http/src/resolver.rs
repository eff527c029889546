//! Name resolution that lets only admitted addresses through.
//!
//! A connection is made to an address that was vetted here, by that address: nobody asks for the name a second time,
//! so a name that changes its mind between the check and the connection gains nothing.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::{Semaphore, oneshot};
use tower::Service;

use crate::policy::AddressPolicy;

/// What a [`Resolve`] answers with, sooner or later.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// From a host name to its addresses. Addresses need not be harmless: they are vetted by who asked.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// All addresses of a name, best first. Called once for each new connection.
    fn resolve(&self, name: &str) -> Resolving;
}

/// The operating system's resolver.
///
/// It blocks, and a dead name server makes it block for long. Lookups therefore run on threads of their own, few per
/// resolver: give each target its own resolver, and one with a bad name holds up nobody else.
#[derive(Debug, Clone)]
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

/// Lookups of one resolver at the same time, abandoned ones included.
const MAX_LOOKUPS: usize = 2;

impl Default for SystemResolver {
    fn default() -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> Resolving {
        let (lookups, name) = (Arc::clone(&self.lookups), name.to_owned());
        Box::pin(async move {
            let permit = lookups.acquire_owned().await.map_err(io::Error::other)?;
            let (answer, found) = oneshot::channel();
            thread::Builder::new()
                .name("argus-dns".to_owned())
                .spawn(move || {
                    let found = (name.as_str(), 0).to_socket_addrs();
                    // Nobody waits any more where the request's deadline has passed.
                    let _ = answer.send(found.map(|all| all.map(|a| a.ip()).collect()));
                    drop(permit);
                })?;
            found.await.map_err(io::Error::other)?
        })
    }
}

/// A resolver behind an [`AddressPolicy`].
#[derive(Debug, Clone)]
pub(crate) struct VettingResolver {
    pub policy: AddressPolicy,
    pub names: Arc<dyn Resolve>,
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

impl VettingResolver {
    /// The admitted addresses of a name.
    pub(crate) async fn vetted(&self, name: &str) -> Result<Vec<IpAddr>, ResolveFailure> {
        let found = self.names.resolve(name).await;
        let found = found.map_err(|e| ResolveFailure::NotFound(e.to_string()))?;
        vet(self.policy, found)
    }
}

impl Service<Name> for VettingResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = ResolveFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move {
            let vetted = resolver.vetted(name.as_str()).await?;
            // The port is set by the connector afterwards.
            let addresses: Vec<_> = vetted.into_iter().map(|a| SocketAddr::new(a, 0)).collect();
            Ok(addresses.into_iter())
        })
    }
}

/// Keeps the admitted addresses. One that is refused does not spoil the others: only kept ones are ever connected to.
fn vet(policy: AddressPolicy, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, ResolveFailure> {
    let mut refused = None;
    let mut admitted = Vec::new();
    for address in found {
        match policy.admit(address) {
            Ok(()) => admitted.push(address),
            Err(kind) => refused = Some(ResolveFailure::Refused { address, kind }),
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
        let found = ["10.0.0.1", "1.1.1.1", "::1"].map(|a| a.parse().expect("literal"));
        let admitted = vet(AddressPolicy::Public, found.to_vec()).expect("one is public");
        assert_eq!(admitted, ["1.1.1.1".parse::<IpAddr>().expect("literal")]);
        let failure = vet(AddressPolicy::Public, found[..1].to_vec()).expect_err("none is public");
        assert_eq!(failure.to_string(), "address 10.0.0.1 is private");
    }

    #[tokio::test]
    async fn the_system_knows_localhost() {
        let found = SystemResolver::default()
            .resolve("localhost")
            .await
            .expect("an answer");
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback));
    }
}
