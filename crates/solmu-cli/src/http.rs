//! The HTTP client of demo and bench.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::redirect::Policy;

/// A client that does not follow redirects: a posted form answers with one, which is the proof that it was taken.
pub(crate) fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(20))
        .redirect(Policy::none())
        .no_proxy()
        .build()
        .context("cannot make an HTTP client")
}
