//! What can be configured.

use std::{net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where names are looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// Addresses and ports of name servers that resolve for us. Those of the system (`/etc/resolv.conf`) if empty.
    pub servers: Vec<SocketAddr>,
    /// Milliseconds to wait for one answer.
    pub timeout_ms: u64,
    /// How often a question is asked again that was not answered.
    pub retries: usize,
    /// Answers that are kept.
    pub cache_entries: u64,
    /// Seconds that an answer is kept at most, whatever the domain's owner allows.
    pub cache_max_seconds: u64,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout_ms: 1_500,
            retries: 1,
            cache_entries: 10_000,
            cache_max_seconds: 3_600,
        }
    }
}

/// What the checks of one mail may cost. Beyond a limit the sender is not verified; the mail is taken all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Milliseconds for all checks together.
    pub timeout_ms: u64,
    /// Questions to name servers for SPF, and as many again for signatures and policies.
    pub dns_lookups: usize,
    /// DKIM signatures that are looked at, those of From's domain first.
    pub signatures: usize,
    /// Bytes of a header whose signatures are looked at.
    pub header_bytes: usize,
    /// Fields of a header whose signatures are looked at, and fields that one signature may name.
    pub header_fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout_ms: 5_000,
            dns_lookups: 60,
            signatures: 8,
            header_bytes: 256 * 1024,
            header_fields: 500,
        }
    }
}

/// How a signature is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// RSA of 2048 bits or more (RFC 6376): everybody can check it.
    #[default]
    RsaSha256,
    /// Ed25519 (RFC 8463): short, but not everybody can check it. Best beside an RSA one.
    Ed25519Sha256,
}

/// A key that signs what we send for a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DkimConfig {
    /// Domain of the From address; it signs for its subdomains too. Two keys of one domain both sign.
    pub domain: String,
    /// Name of the key: its public half stands in a TXT record at `<selector>._domainkey.<domain>`.
    pub selector: String,
    /// File with the private key in PEM, PKCS #8 or (for RSA) PKCS #1.
    pub key_file: PathBuf,
    /// What kind of key it is.
    pub algorithm: Algorithm,
}
