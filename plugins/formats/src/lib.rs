//! What the shipped sinks share: [Alertmanager's idea of an alert](alertmanager), and a notification's
//! [facts](facts::facts) and [lengths](text::cut) as people's services want them.

pub mod alertmanager;
pub mod facts;
pub mod text;

pub use alertmanager::{Alert, AlertSettings, alerts};
