//! Who may read the pages: whoever has the token, and only under this host's own names.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, REFERRER_POLICY};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use regatta_run_folder::host_name;

/// What a request needs.
#[derive(Clone, Debug)]
pub(super) struct Access {
    listen: SocketAddr,
    /// The first part of every path; none if only this host can connect.
    token: Option<String>,
}

impl Access {
    /// Draws a token if other hosts can connect to the address.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(super) fn new(listen: SocketAddr) -> Result<Self> {
        let token = if listen.ip().is_loopback() { None } else { Some(random_token()?) };
        Ok(Self { listen, token })
    }

    /// Returns where a path of the server is found.
    pub(super) fn path(&self, path: &str) -> String {
        self.token.as_ref().map_or_else(|| path.to_owned(), |token| format!("/{token}{path}"))
    }

    /// Returns the address of the first page.
    pub(super) fn url(&self) -> String {
        let authority = match self.listen.ip().is_unspecified() {
            true => format!("{}:{}", host_name(), self.listen.port()),
            false => self.listen.to_string(),
        };
        format!("http://{authority}{}", self.path("/"))
    }

    /// Returns whether a request's `Host` is a name of this server. Another name that leads here may be that of a page in the user's
    /// browser that had its name pointed at this address to read what is here (DNS rebinding). An address cannot be pointed elsewhere.
    fn allows(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let address: Option<IpAddr> = name.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let is_open = self.token.is_some();
        match address {
            Some(address) => is_open || address.is_loopback(),
            None => name.eq_ignore_ascii_case("localhost") || (is_open && is_this_host(name)),
        }
    }
}

/// Returns whether a name, possibly with its domain, is that of this host.
fn is_this_host(name: &str) -> bool {
    let first = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    first(name) == first(&host_name())
}

fn random_token() -> Result<String> {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.context("cannot read /dev/urandom for a token")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Rejects requests under other names, and forbids browsers to keep a page, to embed it, or to pass its address on.
pub(super) async fn check(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(|host| access.allows(host)) {
        let reason = "this server does not have that name: open the address that it printed\n";
        return (StatusCode::MISDIRECTED_REQUEST, reason).into_response();
    }
    let mut response = next.run(request).await;
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(listen: &str) -> Access {
        Access::new(listen.parse().unwrap()).unwrap()
    }

    #[test]
    fn only_names_of_this_host_are_allowed() {
        let here = access("127.0.0.1:7007");
        for name in ["127.0.0.1:7007", "localhost", "LOCALHOST:7007", "[::1]:7007", "127.0.0.1"] {
            assert!(here.allows(name), "{name}");
        }
        for name in [
            "evil.example",
            "evil.example:7007",
            "10.0.0.1:7007",
            "",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
        ] {
            assert!(!here.allows(name), "{name}");
        }
        let open = access("0.0.0.0:7007");
        for name in ["10.0.0.1:7007".to_owned(), host_name(), format!("{}.cluster.example:7007", host_name())]
        {
            assert!(open.allows(&name), "{name}");
        }
        assert!(!open.allows("evil.example:7007"));
    }

    #[test]
    fn other_computers_need_a_token() {
        let here = access("127.0.0.1:7007");
        assert_eq!((here.url(), here.path("/runs")), ("http://127.0.0.1:7007/".into(), "/runs".into()));
        let [one, other] = [access("10.1.2.3:80"), access("10.1.2.3:80")];
        let token = one.path("/").trim_matches('/').to_owned();
        assert!(token.len() == 32 && one.url() == format!("http://10.1.2.3:80/{token}/"), "{}", one.url());
        assert_ne!(one.token, other.token);
    }
}
