//! A base URL that requests cannot leave.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Uri};

use crate::errors::BindingError;

/// Where untrusted code may send requests: below one base URL, with certain methods.
///
/// The path that is asked for is always appended to the base's path, whether or not it begins with a slash, and
/// must not contain anything a server could read as a step upwards.
#[derive(Debug, Clone)]
pub struct Binding {
    scheme: Scheme,
    authority: Authority,
    path: String,
    query: Option<String>,
    methods: Vec<Method>,
    path_prefix: String,
}

impl Binding {
    /// Binds to `base`, e.g. `https://slack.com/api/`. `methods` empty means POST only. `path_prefix` narrows the
    /// paths below the base further; compared as text, leading slashes aside.
    pub fn new(
        base: &str,
        methods: &[String],
        path_prefix: Option<&str>,
    ) -> Result<Self, BindingError> {
        let uri: Uri = base.parse().map_err(|_| {
            BindingError::Base("it is not a URL that begins with http:// or https://")
        })?;
        let scheme = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => scheme.clone(),
            _ => return Err(BindingError::Base("it must begin with http:// or https://")),
        };
        let authority = uri
            .authority()
            .ok_or(BindingError::Base("it has no host"))?
            .clone();
        if authority.host().is_empty() {
            return Err(BindingError::Base("it has no host"));
        }
        if authority.as_str().contains('@') {
            return Err(BindingError::Base(
                "put user and password into a header with {{secret:NAME}}",
            ));
        }
        let parsed = methods
            .iter()
            .map(|name| parse_method(name))
            .collect::<Result<Vec<_>, _>>()?;
        let methods = if parsed.is_empty() {
            vec![Method::POST]
        } else {
            parsed
        };
        Ok(Self {
            scheme,
            authority,
            path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
            methods,
            path_prefix: path_prefix
                .unwrap_or_default()
                .trim_start_matches('/')
                .to_owned(),
        })
    }

    /// Host of the base, without port.
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// Scheme, host and port for people, without path and query (they may hold secrets).
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// The methods that are allowed.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// The method and URL for a request, or why it is refused. `path` is relative to the base and may have a query;
    /// empty means the base itself.
    pub fn resolve(&self, method: &str, path: &str) -> Result<(Method, Uri), BindingError> {
        let method = self.allowed_method(method)?;
        let path = path.strip_prefix('/').unwrap_or(path);
        check_path(path)?;
        if !path.starts_with(&self.path_prefix) {
            return Err(BindingError::PathPrefix(self.path_prefix.clone()));
        }
        let target = self.join(path);
        let path_and_query = PathAndQuery::try_from(target)
            .map_err(|_| BindingError::Path("it is not a URL path"))?;
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path_and_query)
            .build()
            .map_err(|_| BindingError::Path("it is not a URL path"))?;
        Ok((method, uri))
    }

    fn allowed_method(&self, name: &str) -> Result<Method, BindingError> {
        let allowed = self
            .methods
            .iter()
            .find(|m| m.as_str().eq_ignore_ascii_case(name));
        allowed
            .cloned()
            .ok_or_else(|| BindingError::MethodNotAllowed {
                method: name
                    .chars()
                    .filter(char::is_ascii_graphic)
                    .take(20)
                    .collect(),
                allowed: self
                    .methods
                    .iter()
                    .map(Method::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    fn join(&self, path: &str) -> String {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let mut target = self.path.clone();
        if !path.is_empty() {
            if !target.ends_with('/') {
                target.push('/');
            }
            target.push_str(path);
        }
        for (i, query) in [self.query.as_deref(), query]
            .into_iter()
            .flatten()
            .enumerate()
        {
            target.push(if i == 0 { '?' } else { '&' });
            target.push_str(query);
        }
        target
    }
}

fn parse_method(name: &str) -> Result<Method, BindingError> {
    let upper = name.to_ascii_uppercase();
    match upper.as_str() {
        // A tunnel would leave the binding; TRACE echoes headers that the host filled in.
        "CONNECT" | "TRACE" => Err(BindingError::Method(name.to_owned())),
        _ => {
            Method::from_bytes(upper.as_bytes()).map_err(|_| BindingError::Method(name.to_owned()))
        }
    }
}

/// Refuses whatever could be read as leaving the base: steps upwards, also percent-encoded ones and with
/// backslashes, and characters that do not belong into a URL.
fn check_path(path: &str) -> Result<(), BindingError> {
    const EXTRA: &[u8] = b"-._~!$&'()*+,;=:@/?%";
    if !path
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || EXTRA.contains(&b))
    {
        return Err(BindingError::Path(
            "it holds characters that must be percent-encoded, or a fragment",
        ));
    }
    let path = path.split('?').next().unwrap_or_default();
    let decoded =
        percent_decode(path).ok_or(BindingError::Path("it holds a broken percent-encoding"))?;
    if decoded.iter().any(|b| b.is_ascii_control()) {
        return Err(BindingError::Path("it holds control characters"));
    }
    // Decoded twice: some servers do.
    let twice = percent_decode_bytes(&decoded).unwrap_or_else(|| decoded.clone());
    for form in [&decoded, &twice] {
        let mut segments = form.split(|b| matches!(b, b'/' | b'\\'));
        if segments.any(|s| matches!(s.split(|b| *b == b';').next(), Some(b"." | b".."))) {
            return Err(BindingError::Path("it steps upwards (a segment . or ..)"));
        }
    }
    Ok(())
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    percent_decode_bytes(text.as_bytes())
}

fn percent_decode_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        decoded.push(u8::try_from(value).ok()?);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binding(base: &str) -> Binding {
        Binding::new(base, &["POST".into(), "get".into()], None).expect("a good base")
    }

    #[track_caller]
    fn check(base: &str, path: &str, expected: &str) {
        let (_, uri) = binding(base).resolve("post", path).expect(path);
        assert_eq!(uri.to_string(), expected, "{base} + {path}");
    }

    #[track_caller]
    fn check_refused(path: &str, fragment: &str) {
        let error = binding("https://h/api")
            .resolve("POST", path)
            .expect_err(path)
            .to_string();
        assert!(error.contains(fragment), "{path}: {error}");
    }

    #[test]
    fn paths_are_appended_below_the_base() {
        check(
            "https://slack.com/api/",
            "chat.postMessage",
            "https://slack.com/api/chat.postMessage",
        );
        check(
            "https://slack.com/api",
            "/chat.postMessage",
            "https://slack.com/api/chat.postMessage",
        );
        check(
            "http://[::1]:9093",
            "/api/v2/alerts",
            "http://[::1]:9093/api/v2/alerts",
        );
        check("https://h/hook?key=1", "", "https://h/hook?key=1");
        check(
            "https://h/hook?key=1",
            "x?a=b%20c",
            "https://h/hook/x?key=1&a=b%20c",
        );
        check(
            "https://h/",
            "//evil.example/x",
            "https://h//evil.example/x",
        );
        check("https://h/", "@evil.example", "https://h/@evil.example");
        check("https://h/", "a..b/...", "https://h/a..b/...");
    }

    #[test]
    fn nothing_leaves_the_base() {
        for path in [
            "..",
            "../x",
            "a/../b",
            "%2e%2e/x",
            "a/%2E.",
            "a%2f..%2fb",
            "a%5c..%5cb",
            ".",
            "a/..;x/b",
        ] {
            check_refused(path, "upwards");
        }
        check_refused("%252e%252e/x", "upwards");
        check_refused("a\\..\\b", "percent-encoded");
        check_refused("a b", "percent-encoded");
        check_refused("a#b", "fragment");
        check_refused("{{secret:x}}", "percent-encoded");
        check_refused("a%0d%0ab", "control");
        check_refused("%zz", "broken");
    }

    #[test]
    fn methods_and_prefix_narrow() {
        let error = binding("https://h")
            .resolve("DELETE", "x")
            .expect_err("not on the list");
        assert_eq!(
            error.to_string(),
            "use the method DELETE: the target allows only POST, GET"
        );
        let narrowed = Binding::new("https://h/api", &[], Some("/chat.")).expect("a good base");
        assert!(narrowed.resolve("POST", "/chat.update").is_ok());
        assert!(narrowed.resolve("POST", "users.list").is_err());
        assert!(
            narrowed.resolve("GET", "chat.update").is_err(),
            "POST is the default"
        );
    }

    #[test]
    fn bad_bases_say_why() {
        for (base, fragment) in [
            ("ftp://h/", "http://"),
            ("h/path", "http"),
            ("/path", "http://"),
            ("https://user:pw@h/", "secret"),
            ("https:// h/", "not a URL"),
        ] {
            let error = Binding::new(base, &[], None).expect_err(base).to_string();
            assert!(error.contains(fragment), "{base}: {error}");
        }
        assert!(Binding::new("https://h", &["CONNECT".into()], None).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_asked_stays_below_the_base(path in ".{0,40}") {
            if let Ok((_, uri)) = binding("https://h:8443/api/").resolve("POST", &path) {
                prop_assert_eq!(uri.authority().map(Authority::as_str), Some("h:8443"));
                prop_assert!(uri.path().starts_with("/api/"));
            }
        }
    }
}
