//! Native connectors, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use argus_connector_host::Connector;

/// The connectors that the operator configured: opened, or the reason why not. Which plugin may ask which of them is in
/// its own configuration.
#[derive(Clone, Default)]
pub struct Connectors(Arc<BTreeMap<String, Result<Arc<Connector>, String>>>);

impl Connectors {
    /// The connector of that name; none if it is not configured.
    pub fn get(&self, name: &str) -> Option<&Result<Arc<Connector>, String>> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Result<Arc<Connector>, String>)> {
        self.0.iter()
    }
}

impl FromIterator<(String, Result<Arc<Connector>, String>)> for Connectors {
    fn from_iter<I>(connectors: I) -> Self
    where
        I: IntoIterator<Item = (String, Result<Arc<Connector>, String>)>,
    {
        Self(Arc::new(connectors.into_iter().collect()))
    }
}

impl fmt::Debug for Connectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
