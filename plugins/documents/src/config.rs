//! How a collection is read: `[plugins.NAME.config.reading]`.

use argus_plugin::Error;
use argus_plugin::time::parse_rfc3339;
use serde::Deserialize;

/// Settings of a [`Reader`](crate::Reader).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadingConfig {
    /// Where the first poll ever starts: `oldest`, so long ago (`-48h`, `-7d`), or a time in RFC 3339.
    pub start: String,
    /// How long after its time, counted in the collection's own time, a document may appear and still be taken. 0 takes
    /// none that appears behind the newest that was read. Unless said, ten minutes or what the host can do.
    pub lateness_secs: Option<u32>,
    /// Documents younger than this are left for a later poll, because others of the same time may not be visible yet.
    pub settle_secs: u32,
    /// After this long a poll returns what it has, and goes on in the next.
    pub poll_secs: u32,
}

const DEFAULT_LATENESS_SECS: u32 = 600;
/// Beyond it, a slice of time would be too coarse.
const MAX_LATENESS_SECS: u32 = 1800;
/// Records are given again up to three latenesses behind the newest; the host has to know them from new ones.
const TOLD_APART_LATENESSES: u32 = 4;

impl Default for ReadingConfig {
    fn default() -> Self {
        Self {
            start: "-48h".to_owned(),
            lateness_secs: None,
            settle_secs: 5,
            poll_secs: 5,
        }
    }
}

impl ReadingConfig {
    /// The lateness, in seconds, at a host that tells records apart within `told_apart_secs` of the newest one.
    ///
    /// # Errors
    /// `invalid_config` if that is less than what the setting needs.
    pub fn lateness_secs(&self, told_apart_secs: Option<u32>) -> Result<u32, Error> {
        let most = told_apart_secs.map_or(MAX_LATENESS_SECS, |secs| secs / TOLD_APART_LATENESSES);
        match self.lateness_secs {
            None => Ok(DEFAULT_LATENESS_SECS.min(most)),
            Some(secs) if secs <= most => Ok(secs),
            Some(secs) => {
                let message = format!(
                    "config.reading.lateness_secs: {secs} is too long: with this `step_secs` the daemon knows records that \
                     it has from others within {} s, a quarter of which is possible: {most}",
                    told_apart_secs.unwrap_or_default()
                );
                Err(Error::new("invalid_config", message))
            }
        }
    }

    /// Checks what the schema cannot.
    ///
    /// # Errors
    /// `invalid_config`, naming the setting.
    pub fn start(&self) -> Result<Start, Error> {
        if self.lateness_secs > Some(MAX_LATENESS_SECS) {
            let message =
                format!("config.reading.lateness_secs: at most {MAX_LATENESS_SECS} is possible");
            return Err(Error::new("invalid_config", message));
        }
        Start::parse(&self.start).ok_or_else(|| {
            let message = format!(
                "config.reading.start: {:?} is neither `oldest`, nor so long ago (`-48h`, `-7d`), nor a time in RFC 3339",
                self.start
            );
            Error::new("invalid_config", message)
        })
    }
}

/// Where the first poll ever starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest document.
    Oldest,
    /// So many milliseconds before the first poll.
    Ago(i64),
    /// At a time, in milliseconds since the epoch.
    At(i64),
}

impl Start {
    fn parse(text: &str) -> Option<Self> {
        if text == "oldest" {
            return Some(Self::Oldest);
        }
        let Some(ago) = text.strip_prefix('-') else {
            return parse_rfc3339(text).map(Self::At);
        };
        let (unit_at, unit) = ago.char_indices().next_back()?;
        let unit_ms = match unit {
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return None,
        };
        let count: u32 = ago[..unit_at].parse().ok()?;
        Some(Self::Ago(i64::from(count) * unit_ms))
    }

    /// The time that it is at `now_ms`.
    pub fn ms(self, now_ms: i64) -> i64 {
        match self {
            Self::Oldest => 0,
            Self::Ago(ms) => (now_ms - ms).max(0),
            Self::At(ms) => ms.max(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lateness_fits_the_host() {
        let reading = |lateness_secs| ReadingConfig {
            lateness_secs,
            ..ReadingConfig::default()
        };
        for (set, told_apart, expected) in [
            (None, None, Some(600)),
            (None, Some(7200), Some(600)),
            (None, Some(240), Some(60)),
            (Some(1800), Some(7200), Some(1800)),
            (Some(0), Some(24), Some(0)),
            (Some(61), Some(240), None),
        ] {
            let found = reading(set).lateness_secs(told_apart);
            assert_eq!(found.clone().ok(), expected, "{set:?} {told_apart:?}");
            if let Err(error) = found {
                assert!(error.message.contains("is too long"), "{}", error.message);
            }
        }
        assert!(reading(Some(1801)).start().is_err());
    }

    #[test]
    fn starts() {
        for (text, expected) in [
            ("oldest", Some(Start::Oldest)),
            ("-48h", Some(Start::Ago(172_800_000))),
            ("-7d", Some(Start::Ago(604_800_000))),
            ("2026-02-03T04:05:06Z", Some(Start::At(1_770_091_506_000))),
            ("48h", None),
            ("-h", None),
            ("-5y", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(Start::parse(text), expected, "{text}");
        }
    }
}
