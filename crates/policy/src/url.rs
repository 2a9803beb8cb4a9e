//! The URLs that a call over HTTP may name: a strict subset of RFC 3986, so that no two readers of one can differ on which
//! host it means.

use core::net::IpAddr;
use std::fmt;

/// `http://HOST[:PORT]/PATH[?QUERY]` or the same with `https`: without user, fragment, dot segments or upper-case host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    is_tls: bool,
    host: String,
    port: u16,
    target: String,
}

/// Bytes of a URL at most.
const URL_BYTES_MAX: usize = 2048;

impl HttpUrl {
    /// Reads `text`.
    ///
    /// # Errors
    /// A sentence: which part is at fault, by which rule.
    pub fn parse(text: &str) -> Result<HttpUrl, String> {
        if text.len() > URL_BYTES_MAX {
            return Err(format!("a URL has at most {URL_BYTES_MAX} bytes"));
        }
        let (is_tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err("a URL begins with `http://` or `https://`".to_owned()),
        };
        let (authority, target) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        if authority.contains('@') {
            return Err(
                "a URL names no user: what opens the door is a secret, and stands in `secret-headers`".to_owned()
            );
        }
        let (host, port) = split_port(authority)?;
        if !is_host(host) {
            return Err(format!(
                "{host:?} is not a host: a name in lower case, an IPv4 address, or an IPv6 address in `[]`"
            ));
        }
        let port = match port {
            None => {
                if is_tls {
                    443
                } else {
                    80
                }
            }
            Some(port) => decimal_port(port).ok_or_else(|| format!("{port:?} is not a port: 1 to 65535"))?,
        };
        check_target(target)?;
        Ok(HttpUrl { is_tls, host: host.to_owned(), port, target: target.to_owned() })
    }

    /// Whether it is `https`.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Host name or address; an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own where the text has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether scheme, host and port are the same (RFC 6454).
    pub fn is_same_origin(&self, other: &HttpUrl) -> bool {
        (self.is_tls, &self.host, self.port) == (other.is_tls, &other.host, other.port)
    }

    /// Whether the host means this machine by its spelling: `localhost`, `127.0.0.0/8` or `[::1]`.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Where a redirect to `location` (RFC 9110, 10.2.2) leads from here; a fragment is dropped.
    ///
    /// # Errors
    /// As [`HttpUrl::parse`].
    pub fn join(&self, location: &str) -> Result<HttpUrl, String> {
        let location = location.split('#').next().unwrap_or_default();
        let scheme = if self.is_tls { "https" } else { "http" };
        let origin = format!("{scheme}://{}:{}", self.host, self.port);
        let path = self.target.split('?').next().unwrap_or("/");
        match location {
            "" => Ok(self.clone()),
            whole if whole.contains("://") && !whole.starts_with(['/', '?']) => HttpUrl::parse(whole),
            other_host if other_host.starts_with("//") => HttpUrl::parse(&format!("{scheme}:{other_host}")),
            absolute if absolute.starts_with('/') => HttpUrl::parse(&format!("{origin}{absolute}")),
            query if query.starts_with('?') => HttpUrl::parse(&format!("{origin}{path}{query}")),
            relative => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                HttpUrl::parse(&format!("{origin}{folder}/{relative}"))
            }
        }
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.is_tls { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.target)
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), String> {
    match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest
                .split_once(']')
                .ok_or_else(|| format!("{authority:?}: the bracket of an IPv6 address is not closed"))?;
            let host = &authority[..address.len() + 2];
            match behind.strip_prefix(':') {
                Some(port) => Ok((host, Some(port))),
                None if behind.is_empty() => Ok((host, None)),
                None => Err(format!("{authority:?}: only a port can stand behind an IPv6 address")),
            }
        }
        None => Ok(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))),
    }
}

fn decimal_port(text: &str) -> Option<u16> {
    let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// Names of at most 253 characters; what looks like a number at its end is an address or nothing (WHATWG URL, "ends in a
/// number"), so that `127.1` and `0x7f.1` mean no host to anybody.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return address.parse::<core::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    if numeric {
        return host.parse::<core::net::Ipv4Addr>().is_ok();
    }
    host.len() <= 253 && host.split('.').all(label)
}

/// Path and query: the characters of RFC 3986 and whole percent escapes.
fn check_target(target: &str) -> Result<(), String> {
    if target.contains('#') {
        return Err("a fragment (`#…`) is never sent: leave it out".to_owned());
    }
    let path = target.split('?').next().unwrap_or_default();
    if !path.starts_with('/') {
        return Err("a query follows a path: write `/?…`".to_owned());
    }
    let lower = path.to_ascii_lowercase().replace("%2e", ".");
    if lower.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("a path has no `.` or `..`, as not every server reads them alike".to_owned());
    }
    let mut rest = target;
    while let Some(c) = rest.chars().next() {
        let escape = rest.as_bytes().get(1..3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
        let good = c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?".contains(c) || (c == '%' && escape);
        if !good {
            return Err(format!("{c:?} cannot stand in a path or query: escape it as `%` and two hexadecimal digits"));
        }
        rest = &rest[c.len_utf8()..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_means() {
        let parts = |text: &str| {
            let url = HttpUrl::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            (url.is_tls, url.host.clone(), url.port, url.target.clone(), url.to_string())
        };
        let https = parts("https://api.example.com/v1/x?y=%20z");
        assert_eq!(
            https,
            (true, "api.example.com".into(), 443, "/v1/x?y=%20z".into(), "https://api.example.com/v1/x?y=%20z".into())
        );
        assert_eq!(parts("http://[::1]:8080"), (false, "[::1]".into(), 8080, "/".into(), "http://[::1]:8080/".into()));
        assert_eq!(parts("http://127.0.0.1:80/").4, "http://127.0.0.1/");
    }

    #[test]
    fn what_two_readers_could_read_differently_is_no_url() {
        for bad in [
            "",
            "/",
            "ftp://a/",
            "HTTP://a/",
            "http:/a",
            "http://",
            "http:///x",
            "http://a@b/",
            "http://a:b@c/",
            "http://A/",
            "http://a b/",
            "http://a\n/",
            "http://a\\b/",
            "http://a%2eb/",
            "http://-a/",
            "http://a..b/",
            "http://a./",
            "http://127.1/",
            "http://0x7f.1/",
            "http://127.0.0.1.5/",
            "http://010.0.0.1/",
            "http://1.2.3.256/",
            "http://[::1/",
            "http://[::1]x/",
            "http://[fe80::1%25eth0]/",
            "http://[a]/",
            "http://a:/",
            "http://a:0/",
            "http://a:080/",
            "http://a:65536/",
            "http://a:+1/",
            "http://a/#x",
            "http://a?x",
            "http://a/../b",
            "http://a/%2e%2E/b",
            "http://a/./b",
            "http://a/%",
            "http://a/%1",
            "http://a/%zz",
            "http://a/\r\nHost: b",
            "http://a/é",
            "http://a/ ",
            "http://a/\"",
            "http://a/[",
            "http://a/\0",
        ] {
            assert!(HttpUrl::parse(bad).is_err(), "{bad:?} is taken");
        }
        assert!(HttpUrl::parse(&format!("http://a/{}", "x".repeat(2100))).is_err());
        assert!(HttpUrl::parse(&format!("http://{}/", "a".repeat(64))).is_err());
    }

    #[test]
    fn a_redirect_leads_where_its_location_says() {
        let from = HttpUrl::parse("https://a:8443/x/y?z").expect("a URL");
        let to = |location: &str| from.join(location).map(|url| url.to_string());
        assert_eq!(to("/b#c").as_deref(), Ok("https://a:8443/b"));
        assert_eq!(to("b?c").as_deref(), Ok("https://a:8443/x/b?c"));
        assert_eq!(to("?c").as_deref(), Ok("https://a:8443/x/y?c"));
        assert_eq!(to("").as_deref(), Ok("https://a:8443/x/y?z"));
        assert_eq!(to("//b/c").as_deref(), Ok("https://b/c"));
        assert_eq!(to("http://a:8443/").as_deref(), Ok("http://a:8443/"));
        assert_eq!(to("/b?next=https://c/").as_deref(), Ok("https://a:8443/b?next=https://c/"));
        for bad in ["../b", "javascript:alert(1)//://", "https://a@b/", "/\r\nx: y", "//"] {
            assert!(to(bad).is_err(), "{bad:?} leads to {:?}", to(bad));
        }
        assert!(!from.is_same_origin(&HttpUrl::parse("http://a:8443/").expect("a URL")));
        assert!(!from.is_same_origin(&HttpUrl::parse("https://a/").expect("a URL")));
        assert!(from.is_same_origin(&HttpUrl::parse("https://a:8443/b").expect("a URL")));
    }

    #[test]
    fn this_machine_is_known_by_its_spelling() {
        for (text, is) in [
            ("http://localhost/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]/", true),
            ("http://localhost.example/", false),
            ("http://10.0.0.1/", false),
            ("http://[::2]/", false),
        ] {
            assert_eq!(HttpUrl::parse(text).expect("a URL").is_loopback(), is, "{text}");
        }
    }
}
