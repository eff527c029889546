//! A loaded plugin.

use crate::{PluginError, PluginStatus, Receipt, SinkNotification};

/// A loaded plugin.
#[derive(Debug)]
pub struct Plugin {
    status: PluginStatus,
}

impl Plugin {
    /// Asks the plugin whether its configuration is valid.
    pub async fn check(&self) -> Result<(), PluginError> {
        Ok(())
    }

    /// Carries one notification.
    pub async fn deliver(
        &self,
        _notification: &SinkNotification,
        _key: &str,
    ) -> Result<Receipt, PluginError> {
        Ok(Receipt::default())
    }

    /// State and counts.
    pub fn status(&self) -> PluginStatus {
        self.status.clone()
    }
}
