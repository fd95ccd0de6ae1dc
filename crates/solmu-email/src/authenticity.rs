//! Who finds out whether the sender of a mail is who the From header says: our mail exchanger in a header, we ourselves
//! while the mail comes in, or nobody.
//!
//! The outcome never decides whether a mail is taken. A name server that does not answer costs the configured wait and
//! leaves the sender unverified; a mail that its domain's owner wants rejected is taken and marked as failed, for the
//! ticket service to judge.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_mailauth::{Dns, DnsConfig, Limits, Settings, Submission, Verifier};
use solmu_mailhooks::Verdicts;
use solmu_mime::{
    authenticity::{Findings, Method, ResultWord, Trust, Verdict, author_domain, judge},
    mail::ParsedMail,
};
use solmu_proto::inbound::v1::{
    Authenticity as ProtoAuthenticity, authenticity::Verdict as ProtoVerdict,
};

use crate::{config::Config, metrics::EmailMetrics, receive::Incoming};

/// How senders of mail are verified.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthenticityConfig {
    /// Who looks. Choose `verify` where senders deliver to Solmu itself, `header` behind a mail exchanger.
    pub mode: Mode,
    /// In mode `verify`, check mail from private and loopback addresses too. By default such an address says nothing
    /// about the sender (a proxy, a neighbour), so nobody looks and the sender is unverified.
    pub verify_private_peers: bool,
    /// In mode `verify`, addresses of mail exchangers of ours that hand mail in over SMTP and write
    /// Authentication-Results under `authserv_id`: such mail is judged by that header. Every other machine that can
    /// reach the port could write the header, too, so it is not believed from there.
    pub own_exchangers: Vec<IpAddr>,
    /// Domains of forwarders (`d=` of their ARC-Seal) that are believed when they say that DMARC passed before they
    /// changed the mail: it is not marked as failed then.
    pub trusted_sealers: Vec<String>,
    /// What checking one mail may cost.
    pub limits: Limits,
    /// Where names are looked up.
    pub dns: DnsConfig,
}

/// Who finds out whether a sender is real.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Our mail exchanger: its Authentication-Results count, under the name of `authserv_id`. Without that name nobody.
    #[default]
    Header,
    /// We ourselves, by SPF, DKIM and DMARC, for mail that comes by SMTP from a public address; by the header for mail
    /// that one of `own_exchangers` or a server of ours over LMTP hands in; nobody for the rest.
    Verify,
    /// Nobody.
    None,
}

impl AuthenticityConfig {
    /// What is wrong with it.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let counts = [
            (
                "authenticity.limits.timeout_ms",
                self.limits.timeout_ms == 0,
            ),
            (
                "authenticity.limits.dns_lookups",
                self.limits.dns_lookups == 0,
            ),
            (
                "authenticity.limits.signatures",
                self.limits.signatures == 0,
            ),
            (
                "authenticity.limits.header_bytes",
                self.limits.header_bytes == 0,
            ),
            (
                "authenticity.limits.header_fields",
                self.limits.header_fields == 0,
            ),
            ("authenticity.dns.timeout_ms", self.dns.timeout_ms == 0),
        ];
        let zero = counts
            .into_iter()
            .filter(|(_, is_zero)| *is_zero)
            .map(|(name, _)| format!("'{name}' must be more than zero"));
        let resolver = (self.mode == Mode::Verify)
            .then(|| Dns::new(&self.dns).err())
            .flatten()
            .map(|error| format!("'authenticity.mode' is 'verify', but {error}"));
        zero.chain(resolver).collect()
    }
}

/// Finds out who a mail is from.
#[derive(Debug)]
pub(crate) struct Authenticity {
    mode: Mode,
    authserv_id: Option<String>,
    trusted_hops: usize,
    verify_private_peers: bool,
    own_exchangers: Vec<IpAddr>,
    verifier: Option<Verifier>,
    metrics: EmailMetrics,
}

impl Authenticity {
    pub(crate) fn new(config: &Config, hostname: &str, metrics: EmailMetrics) -> Self {
        let own = &config.authenticity;
        let settings = Settings {
            limits: own.limits.clone(),
            trusted_sealers: own.trusted_sealers.clone(),
            hostname: hostname.to_owned(),
        };
        // The check of the configuration has made one like it already.
        let resolver = (own.mode == Mode::Verify).then(|| Dns::new(&own.dns));
        let verifier = match resolver {
            Some(Ok(dns)) => Some(Verifier::new(dns, settings)),
            Some(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "senders cannot be verified without name servers"
                );
                None
            }
            None => None,
        };
        Self {
            mode: own.mode,
            authserv_id: config.authserv_id.clone(),
            trusted_hops: config.trusted_hops,
            verify_private_peers: own.verify_private_peers,
            own_exchangers: own.own_exchangers.clone(),
            verifier,
            metrics,
        }
    }

    /// What is known of the sender of `mail`.
    pub(crate) async fn of(&self, mail: &ParsedMail, incoming: &Incoming) -> Findings {
        let found = match self.mode {
            Mode::None => by_nobody(mail),
            Mode::Header => self.by_header(mail, incoming),
            Mode::Verify => match &incoming.connection {
                Some(connection) if !self.is_own(connection.peer) => {
                    match self.submission(mail, incoming) {
                        Some((verifier, submission)) => {
                            Box::pin(verifier.verify(submission)).await.findings
                        }
                        None => by_nobody(mail),
                    }
                }
                _ => self.by_header(mail, incoming),
            },
        };
        self.counted(found)
    }

    /// What a provider that proved itself says of the sender.
    pub(crate) fn by_provider(&self, mail: &ParsedMail, said: &Verdicts) -> Findings {
        self.counted(by_provider(mail, said))
    }

    fn counted(&self, found: Findings) -> Findings {
        let verdict = match found.verdict {
            Verdict::Verified => "verified",
            Verdict::Unverified => "unverified",
            Verdict::Failed => "failed",
        };
        self.metrics.senders.inc([found.method.as_str(), verdict]);
        found
    }

    fn is_own(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let mut own = self.own_exchangers.iter();
        own.any(|address| address.to_canonical() == peer)
    }

    fn by_header(&self, mail: &ParsedMail, incoming: &Incoming) -> Findings {
        let trust = Trust {
            authserv_id: self.authserv_id.as_deref(),
            trusted_hops: self.trusted_hops + incoming.own_hops,
        };
        judge(mail, trust)
    }

    /// What is to be checked, if the mail came to us straight from outside. A header in such a mail is never believed:
    /// there was no exchanger of ours that could have written it.
    fn submission(
        &self,
        mail: &ParsedMail,
        incoming: &Incoming,
    ) -> Option<(&Verifier, Submission)> {
        let verifier = self.verifier.as_ref()?;
        let connection = incoming.connection.as_ref()?;
        if !(self.verify_private_peers || is_public(connection.peer)) {
            return None;
        }
        let submission = Submission {
            raw: incoming.raw.clone(),
            peer: connection.peer,
            helo: connection.helo.clone(),
            mail_from: incoming.mail_from.clone().unwrap_or_default(),
            from_domain: author_domain(mail).unwrap_or_default(),
        };
        Some((verifier, submission))
    }
}

/// What is known where nobody looked.
fn by_nobody(mail: &ParsedMail) -> Findings {
    Findings {
        domain: author_domain(mail).unwrap_or_default(),
        ..Findings::default()
    }
}

fn by_provider(mail: &ParsedMail, said: &Verdicts) -> Findings {
    let domain = author_domain(mail).unwrap_or_default();
    // A signature of the very domain of From is what DMARC asks for; without a domain there is not exactly one author.
    let signed = said.signed_by.contains(&domain);
    let verified = !domain.is_empty() && (said.dmarc == Some(ResultWord::Pass) || signed);
    let failed = !verified && said.rejects && said.dmarc == Some(ResultWord::Fail);
    Findings {
        verdict: match (verified, failed) {
            (true, _) => Verdict::Verified,
            (false, true) => Verdict::Failed,
            (false, false) => Verdict::Unverified,
        },
        method: Method::Provider,
        spf: said.spf,
        dkim: said.dkim,
        dmarc: said.dmarc,
        arc: None,
        domain,
    }
}

/// Whether an address can be that of a stranger (RFC 1918, RFC 3927, RFC 4193, RFC 6598).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !is_local_v4(v4),
        IpAddr::V6(v6) => !is_local_v6(v6),
    }
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || (first == 100 && (64..128).contains(&second))
}

fn is_local_v6(address: Ipv6Addr) -> bool {
    address.is_loopback()
        || address.is_unspecified()
        || address.is_unique_local()
        || address.is_unicast_link_local()
}

/// As the event says it.
pub(crate) fn to_proto(found: &Findings) -> ProtoAuthenticity {
    let verdict = match found.verdict {
        Verdict::Verified => ProtoVerdict::Verified,
        Verdict::Unverified => ProtoVerdict::Unverified,
        Verdict::Failed => ProtoVerdict::Failed,
    };
    let word = |result: Option<ResultWord>| {
        result
            .map(ResultWord::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    ProtoAuthenticity {
        verdict: verdict.into(),
        method: found.method.as_str().to_owned(),
        spf: word(found.spf),
        dkim: word(found.dkim),
        dmarc: word(found.dmarc),
        arc: word(found.arc),
        domain: found.domain.clone(),
    }
}
