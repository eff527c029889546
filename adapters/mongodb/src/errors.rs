//! What the driver says, for people who do not know the driver, and without secrets.

use argus_connector_abi::Error;
use mongodb::error::{Error as DriverError, ErrorKind};

/// Turns the driver's errors into ours.
#[derive(Debug)]
pub(crate) struct Teller {
    /// What no message may hold.
    hidden: Vec<String>,
    hosts: String,
}

/// Codes of the server that mean one thing; the others are `query_failed` with the server's own words.
const CODES: &[(i32, &str)] = &[
    (13, ACCESS),         // Unauthorized
    (18, ACCESS),         // AuthenticationFailed
    (26, "not_found"),    // NamespaceNotFound
    (50, TIMED_OUT),      // MaxTimeMSExpired
    (262, TIMED_OUT),     // ExceededTimeLimit
    (59, UNSUPPORTED),    // CommandNotFound
    (115, UNSUPPORTED),   // CommandNotSupported
    (20, UNSUPPORTED),    // IllegalOperation
    (40324, UNSUPPORTED), // Unrecognized pipeline stage
    (40573, UNSUPPORTED), // Change streams need a replica set
];
pub(crate) const ACCESS: &str = "access_denied";
const TIMED_OUT: &str = "timed_out";
/// The server has no such thing; also what a tail falls back after.
pub(crate) const UNSUPPORTED: &str = "unsupported";

/// Codes of conditions that pass: elections, restarts, lost cursors, overload.
const PASSING: &[i32] = &[
    6, 7, 43, 50, 89, 91, 133, 136, 175, 189, 262, 286, 9001, 10107, 11600, 11602, 13388, 13435,
    13436,
];

impl Teller {
    pub(crate) fn new(mut hidden: Vec<String>, hosts: String) -> Self {
        hidden.retain(|secret| !secret.is_empty());
        // The longest first: one may be part of another.
        hidden.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { hidden, hosts }
    }

    pub(crate) fn hosts(&self) -> &str {
        &self.hosts
    }

    /// Blanks out what must not be seen.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let blanked = |text: String, secret: &String| text.replace(secret.as_str(), "***");
        self.hidden.iter().fold(text.to_owned(), blanked)
    }

    /// An error of the driver as a plugin and an operator see it.
    pub(crate) fn tell(&self, error: &DriverError) -> Error {
        let hosts = &self.hosts;
        let told = match error.kind.as_ref() {
            ErrorKind::Authentication { message, .. } => {
                Error::new(ACCESS, format_args!("{hosts} refused the login: {message}"))
            }
            ErrorKind::ServerSelection { message, .. } => self.unreachable(message),
            ErrorKind::InvalidTlsConfig { message, .. } => {
                Error::new("tls_failed", format_args!("TLS with {hosts}: {message}"))
            }
            ErrorKind::Io(error) => {
                let message = format!("the connection to {hosts} failed: {error}");
                if is_about_tls(&message) {
                    Error::new("tls_failed", message)
                } else {
                    Error::retryable("connect_failed", message)
                }
            }
            ErrorKind::ConnectionPoolCleared { message, .. }
            | ErrorKind::DnsResolve { message, .. } => Error::retryable(
                "connect_failed",
                format_args!("the connection to {hosts} failed: {message}"),
            ),
            ErrorKind::Command(command) => {
                let code = CODES.iter().find(|(code, _)| *code == command.code);
                let code = code.map_or("query_failed", |(_, code)| code);
                let retryable = PASSING.contains(&command.code);
                let (message, name) = (&command.message, &command.code_name);
                let text = format!("{hosts} answered: {message} ({name}, {})", command.code);
                Error {
                    retryable,
                    ..Error::new(code, text)
                }
            }
            ErrorKind::InvalidArgument { message, .. } => Error::new("invalid_body", message),
            ErrorKind::IncompatibleServer { message, .. } => Error::new(
                UNSUPPORTED,
                format_args!("{hosts} is too old or too different: {message}"),
            ),
            other => Error::new("query_failed", format_args!("{hosts}: {other}")),
        };
        Error {
            message: self.scrub(&told.message),
            ..told
        }
    }

    /// No server could be used. The driver's message describes its view of all of them; the reasons in it are what counts.
    fn unreachable(&self, message: &str) -> Error {
        let mut reasons: Vec<&str> = message
            .split("Error: ")
            .skip(1)
            .map(|rest| rest.split(", labels:").next().unwrap_or(rest))
            .map(|reason| {
                reason
                    .trim_start_matches("Kind: ")
                    .trim_end_matches([' ', '}', ']', ','])
            })
            .collect();
        reasons.dedup();
        let hosts = &self.hosts;
        if reasons.is_empty() {
            return Error::retryable(
                "connect_failed",
                format_args!("no server of {hosts} can be used: {message}"),
            );
        }
        let reasons = reasons.join("; ");
        if is_about_tls(&reasons) {
            return Error::new(
                "tls_failed",
                format_args!("TLS with {hosts} failed: {reasons}"),
            );
        }
        Error::retryable(
            "connect_failed",
            format_args!("{hosts} cannot be reached: {reasons}"),
        )
    }
}

/// rustls's errors come as input and output errors with its text.
fn is_about_tls(message: &str) -> bool {
    let signs = [
        "certificate",
        "HandshakeFailure",
        "InvalidContentType",
        "received fatal alert",
        "TLS",
        "tls handshake",
    ];
    signs.iter().any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn teller() -> Teller {
        Teller::new(
            vec!["pass".into(), String::new(), "pass-word".into()],
            "db-1:27017".into(),
        )
    }

    #[test]
    fn secrets_are_blanked_whole() {
        assert_eq!(teller().scrub("pass-word and pass"), "*** and ***");
    }

    #[test]
    fn the_reason_is_taken_out_of_the_drivers_view() {
        let message = "Server selection timeout: No available servers. Topology: { Type: Unknown, Servers: [ { Address: \
                       db-1:27017, Type: Unknown, Error: Kind: I/O error: failed to lookup address information: Name or \
                       service not known, labels: {} } ] }";
        let error = teller().unreachable(message);
        assert_eq!(
            (error.code.as_str(), error.retryable),
            ("connect_failed", true)
        );
        assert_eq!(
            error.message,
            "db-1:27017 cannot be reached: I/O error: failed to lookup address information: Name or service not known"
        );
        let message =
            "… Error: Kind: I/O error: invalid peer certificate: UnknownIssuer, labels: {} } ] }";
        let error = teller().unreachable(message);
        assert_eq!(
            (error.code.as_str(), error.retryable),
            ("tls_failed", false)
        );
    }
}
