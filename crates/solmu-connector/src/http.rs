//! Talking to vendors over HTTP: with time limits, without redirects, and never into our own network.
//!
//! An address that came from outside (a media link in a webhook) may point at `169.254.169.254` or at a neighbour in
//! the cluster. The guard refuses non-public addresses after name resolution, inside the resolver of the connection
//! itself: checking first and connecting later would let the name change in between. Only origins that the operator
//! configured are exempt.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{DATE, HeaderMap, RETRY_AFTER},
    redirect::Policy,
};

/// Time limits of a client.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// For the connection with TLS.
    pub connect: Duration,
    /// For the whole request with its answer.
    pub total: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(20),
        }
    }
}

/// A request that did not come to an answer.
///
/// The text never has the address: Telegram's carries the bot's token.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The client could not be made.
    #[error("cannot make an http client")]
    Client(#[source] reqwest::Error),
    /// Not an `http` or `https` address with a host.
    #[error("not an http address")]
    BadUrl,
    /// The address lies in a private, local or reserved network.
    #[error("the address is not public")]
    NotPublic,
    /// No connection, or it broke.
    #[error("the request failed")]
    Request(#[source] reqwest::Error),
    /// An answer other than 2xx.
    #[error("answered with status {0}")]
    Status(u16),
    /// The other side wants fewer requests: 429, or 503 with a time to wait.
    #[error("answered with status {status}: fewer requests are wanted")]
    Throttled {
        /// The status.
        status: u16,
        /// How long it told us to wait, if it did.
        after: Option<Duration>,
    },
    /// More bytes than allowed.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
}

/// Whether a failed send may have reached the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// The connection was never made: sending again is safe.
    No,
    /// The request may have been taken.
    Maybe,
}

/// Tells a failed connection from a lost answer.
#[must_use]
pub fn reached(error: &reqwest::Error) -> Reached {
    if error.is_connect() || error.is_builder() {
        Reached::No
    } else {
        Reached::Maybe
    }
}

/// The longest wait that a `Retry-After` is taken for: what asks for more is a mistake of a clock or of a programmer.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// How long an answer asks us to wait (RFC 9110 section 10.2.3): seconds, or a date. A date counts from the `Date` of the
/// same answer, so that our clock and theirs may differ. At most a day.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let said = text(RETRY_AFTER)?;
    let wait = if let Ok(seconds) = said.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok();
        let (until, now) = (date(said)?, date(text(DATE)?)?);
        Duration::try_from(until.timestamp().duration_since(now.timestamp())).ok()?
    };
    Some(wait.min(LONGEST_WAIT))
}

/// The error of an answer other than 2xx.
fn refused(status: StatusCode, headers: &HeaderMap) -> HttpError {
    let after = retry_after(headers);
    match status {
        StatusCode::TOO_MANY_REQUESTS => HttpError::Throttled { status: 429, after },
        StatusCode::SERVICE_UNAVAILABLE if after.is_some() => {
            HttpError::Throttled { status: 503, after }
        }
        _ => HttpError::Status(status.as_u16()),
    }
}

/// A client for addresses that the operator configured.
pub fn client(limits: HttpLimits) -> Result<Client, HttpError> {
    builder(limits).build().map_err(HttpError::Client)
}

/// Whether a configured base URL is an `http` or `https` address with a host.
pub fn check_base_url(url: &str) -> Result<(), HttpError> {
    parse(url).map(drop)
}

fn builder(limits: HttpLimits) -> reqwest::ClientBuilder {
    Client::builder()
        .connect_timeout(limits.connect)
        .timeout(limits.total)
        .redirect(Policy::none())
        .referer(false)
        .user_agent(concat!("solmu/", env!("CARGO_PKG_VERSION")))
}

/// Fetches files from addresses that came from outside.
#[derive(Debug, Clone)]
pub struct Fetcher {
    guarded: Client,
    trusting: Client,
    trusted: Arc<[Url]>,
}

impl Fetcher {
    /// A fetcher that refuses non-public addresses, except at the origins (scheme, host, port) of `trusted`.
    pub fn new(limits: HttpLimits, trusted: &[&str]) -> Result<Self, HttpError> {
        // A proxy would resolve names itself, behind the guard's back.
        let guarded = builder(limits)
            .no_proxy()
            .dns_resolver(Arc::new(PublicOnly))
            .build()
            .map_err(HttpError::Client)?;
        let trusted = trusted
            .iter()
            .map(|url| parse(url))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            guarded,
            trusting: client(limits)?,
            trusted,
        })
    }

    /// Gets at most `max_bytes`, counted while they come. `bearer` is sent only when given: the caller decides whether
    /// the host may see it.
    pub async fn get(
        &self,
        url: &str,
        bearer: Option<&str>,
        max_bytes: usize,
    ) -> Result<Bytes, HttpError> {
        let url = parse(url)?;
        let mut request = self.client_for(&url)?.get(url);
        if let Some(token) = bearer {
            request = request.bearer_auth(token);
        }
        let mut response = request.send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(refused(response.status(), response.headers()));
        }
        let too_large = HttpError::TooLarge { limit: max_bytes };
        if response
            .content_length()
            .is_some_and(|length| length > max_bytes as u64)
        {
            return Err(too_large);
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > max_bytes {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Posts JSON; what is answered is not read.
    ///
    /// # Errors
    /// No connection, no answer in time, an address that is not public, or an answer other than 2xx.
    pub async fn post_json(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<(), HttpError> {
        let url = parse(url)?;
        let mut request = self.client_for(&url)?.post(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.header("content-type", "application/json");
        let response = request.body(body).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(refused(response.status(), response.headers()));
        }
        Ok(())
    }

    fn client_for(&self, url: &Url) -> Result<&Client, HttpError> {
        let mut trusted = self.trusted.iter();
        if trusted.any(|origin| origin.origin() == url.origin()) {
            return Ok(&self.trusting);
        }
        refuse_literal(url)?;
        Ok(&self.guarded)
    }
}

fn failed(error: reqwest::Error) -> HttpError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(&error);
    while let Some(inner) = cause {
        if inner.is::<NotPublicError>() {
            return HttpError::NotPublic;
        }
        cause = inner.source();
    }
    HttpError::Request(error.without_url())
}

fn parse(url: &str) -> Result<Url, HttpError> {
    let url = Url::parse(url).map_err(|_| HttpError::BadUrl)?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(HttpError::BadUrl)
    }
}

/// Addresses written as numbers never reach the resolver.
fn refuse_literal(url: &Url) -> Result<(), HttpError> {
    let host = url.host_str().unwrap_or_default();
    match host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
    {
        Ok(address) if !is_public(address) => Err(HttpError::NotPublic),
        _ => Ok(()),
    }
}

/// A name that stands for no public address.
#[derive(Debug, thiserror::Error)]
#[error("the name has no public address")]
struct NotPublicError;

/// Resolves names by the system and leaves out what is not public.
#[derive(Debug)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NotPublicError.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is reachable from the whole internet (IANA special-purpose registries).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (b == 18 || b == 19);
    !(a == 0
        || a >= 240
        || shared
        || protocol
        || benchmark
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let segments = address.segments();
    // Only 2000::/3 is global unicast; within it, tunnels (Teredo, 6to4) and documentation lead elsewhere.
    let global = segments[0] & 0xe000 == 0x2000;
    let special = segments[0] == 0x2001 && segments[1] < 0x0200;
    let documentation = (segments[0] == 0x2001 && segments[1] == 0x0db8) || segments[0] == 0x3fff;
    global && !special && !documentation && segments[0] != 0x2002
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn only_public_addresses_pass() {
        for public in [
            "8.8.8.8",
            "2606:4700::1111",
            "192.0.1.1",
            "100.128.0.1",
            "172.32.0.1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "192.0.0.170",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2001:db8::1",
            "2001::1",
            "2002:a00:1::",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[tokio::test]
    async fn literal_and_resolved_local_addresses_are_refused() {
        let fetcher = Fetcher::new(HttpLimits::default(), &[]).unwrap();
        for url in [
            "http://127.0.0.1:9/x",
            "http://[::1]:9/x",
            "http://2130706433/",
            "http://169.254.169.254/latest",
            "http://localhost:9/",
        ] {
            assert!(
                matches!(fetcher.get(url, None, 10).await, Err(HttpError::NotPublic)),
                "{url}"
            );
        }
        for url in ["file:///etc/passwd", "nonsense", "ftp://example.com/"] {
            assert!(
                matches!(fetcher.get(url, None, 10).await, Err(HttpError::BadUrl)),
                "{url}"
            );
        }
    }

    /// A server that answers one request with `head` and `body`.
    async fn one_answer(head: &'static str, body: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test's server")]
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(body.as_bytes()).await.unwrap();
        });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn trusted_origins_are_fetched_and_the_size_is_capped() {
        let origin = one_answer("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", "12345").await;
        let fetcher = Fetcher::new(HttpLimits::default(), &[&origin]).unwrap();
        assert_eq!(
            fetcher
                .get(&format!("{origin}/a"), Some("token"), 5)
                .await
                .unwrap(),
            "12345"
        );

        let origin = one_answer("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", "123456").await;
        let fetcher = Fetcher::new(HttpLimits::default(), &[&origin]).unwrap();
        assert!(matches!(
            fetcher.get(&origin, None, 5).await,
            Err(HttpError::TooLarge { limit: 5 })
        ));
    }

    #[test]
    fn the_wait_that_is_asked_for_is_read_in_both_forms() {
        let of = |said: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, said.parse().unwrap());
            headers.insert(DATE, "Mon, 23 Nov 2026 06:00:00 GMT".parse().unwrap());
            retry_after(&headers).map(|wait| wait.as_secs())
        };
        assert_eq!(of("120"), Some(120));
        assert_eq!(of(" 0 "), Some(0));
        assert_eq!(of("Mon, 23 Nov 2026 06:02:00 GMT"), Some(120));
        assert_eq!(of("Mon, 23 Nov 2026 05:00:00 GMT"), None, "it is over");
        assert_eq!(of("99999999"), Some(86_400), "no clock is that wrong");
        for nothing in ["", "soon", "-1", "1.5", "Mon, 31 Feb 2026"] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn who_wants_fewer_requests_is_told_apart() {
        for (head, wanted) in [
            (
                "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
                Some(Some(7)),
            ),
            (
                "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
                Some(None),
            ),
            (
                "HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
                Some(Some(7)),
            ),
            ("HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n", None),
        ] {
            let origin = one_answer(head, "").await;
            let fetcher = Fetcher::new(HttpLimits::default(), &[&origin]).unwrap();
            let told = match fetcher.get(&origin, None, 5).await {
                Err(HttpError::Throttled { after, .. }) => Some(after.map(|wait| wait.as_secs())),
                Err(HttpError::Status(503)) => None,
                other => panic!("{other:?}"),
            };
            assert_eq!(told, wanted, "{head}");
        }
    }

    #[tokio::test]
    async fn redirects_are_not_followed() {
        let origin = one_answer(
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n",
            "",
        )
        .await;
        let fetcher = Fetcher::new(HttpLimits::default(), &[&origin]).unwrap();
        assert!(matches!(
            fetcher.get(&origin, None, 5).await,
            Err(HttpError::Status(302))
        ));
    }
}
