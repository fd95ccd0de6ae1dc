//! Checks a mail while it comes in.
//!
//! SPF, DKIM and ARC wait for name servers side by side, DMARC draws on the first two. Each has what is left of one
//! common time limit; what was not answered by then is `temperror`, which verifies nobody and fails nobody.

#[cfg(test)]
mod arc_tests;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use mail_auth::{
    ArcOutput, AuthenticatedMessage, DkimOutput, DkimResult, Error, Parameters, SpfOutput,
    SpfResult,
    arc::ArcError,
    common::{crypto::Algorithm, to_a_label},
    dmarc::verify::DmarcParameters,
    spf::verify::SpfParameters,
};
use solmu_mime::authenticity::{Findings, Method, ResultWord, Verdict};
use tokio::time::{Instant, timeout_at};

use crate::{
    config::Limits,
    dns::{Budget, Dns},
    outcome::{
        Outcome, Policy, arc_word, dkim_word, dmarc_word, is_or_is_below, spf_word, vouched,
    },
};

/// A mail larger than this, in bytes, is hashed on a thread of its own, so that it does not hold up others.
const OWN_THREAD_BYTES: usize = 1024 * 1024;

/// How a [`Verifier`] works.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What one mail may cost.
    pub limits: Limits,
    /// Domains of sealers (ARC's `d=`) that are believed about where a mail came from.
    pub trusted_sealers: Vec<String>,
    /// Our own name, for macros in SPF records.
    pub hostname: String,
}

/// A mail as it came in, and from where.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The mail as received.
    pub raw: Bytes,
    /// Address of the client.
    pub peer: IpAddr,
    /// What the client calls itself.
    pub helo: String,
    /// Envelope sender; empty for the null reverse-path.
    pub mail_from: String,
    /// Domain of the one From address in lower case; empty if there is not exactly one.
    pub from_domain: String,
}

/// Checks mails. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Verifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dns: Dns,
    settings: Settings,
}

impl Verifier {
    /// A verifier that asks `dns`.
    #[must_use]
    pub fn new(dns: Dns, settings: Settings) -> Self {
        Self(Arc::new(Inner { dns, settings }))
    }

    /// Checks a mail. Takes no longer than the configured limit.
    #[tracing::instrument(name = "mailauth.verify", skip_all, fields(mail.bytes = mail.raw.len()))]
    pub async fn verify(&self, mail: Submission) -> Outcome {
        let domain = mail.from_domain.clone();
        if mail.raw.len() <= OWN_THREAD_BYTES {
            return Box::pin(self.0.verify(&mail)).await;
        }
        let inner = Arc::clone(&self.0);
        let runtime = tokio::runtime::Handle::current();
        let checked = tokio::task::spawn_blocking(move || runtime.block_on(inner.verify(&mail)));
        // The thread ends early only when the process does.
        checked
            .await
            .unwrap_or_else(|_| unchecked(domain, ResultWord::TempError))
    }
}

/// A mail that was not looked at.
fn unchecked(domain: String, word: ResultWord) -> Outcome {
    Outcome {
        findings: Findings {
            method: Method::Smtp,
            dkim: Some(word),
            dmarc: Some(word),
            arc: Some(word),
            domain,
            ..Findings::default()
        },
        ..Outcome::default()
    }
}

impl Inner {
    async fn verify(&self, mail: &Submission) -> Outcome {
        let limits = &self.settings.limits;
        let deadline = Instant::now() + Duration::from_millis(limits.timeout_ms);
        let unreadable = || unchecked(mail.from_domain.clone(), ResultWord::PermError);
        if header_length(&mail.raw, limits.header_bytes) > limits.header_bytes {
            return unreadable();
        }
        let Some(mut message) = AuthenticatedMessage::parse(&mail.raw) else {
            return unreadable();
        };
        if message.headers.len() > limits.header_fields {
            return unreadable();
        }
        let left_out = choose_signatures(&mut message, &mail.from_domain, limits);

        let budget = Budget::new(limits.dns_lookups);
        let (spf, dkim, arc) = tokio::join!(
            Box::pin(self.spf(mail, deadline)),
            Box::pin(timeout_at(deadline, self.dkim(&message, &budget))),
            Box::pin(timeout_at(deadline, self.arc(&message, &budget))),
        );
        let late = dkim.is_err();
        let dkim = dkim.unwrap_or_default();
        let arc = arc.unwrap_or_else(|_| late_chain());
        let (dmarc, policy) =
            Box::pin(self.dmarc(mail, &message, &spf, &dkim, &budget, deadline)).await;
        // What is not known yet could still have made it pass.
        let unsure = late || budget.spent();
        let dmarc = match dmarc {
            ResultWord::Fail if unsure => ResultWord::TempError,
            other => other,
        };
        let vouched = vouched(&arc, &self.settings.trusted_sealers, &mail.from_domain);
        Outcome {
            findings: Findings {
                verdict: verdict(dmarc, policy, vouched),
                method: Method::Smtp,
                spf: Some(spf_word(spf.result())),
                dkim: Some(match dkim_word(&dkim, &mail.from_domain) {
                    _ if late => ResultWord::TempError,
                    ResultWord::None if left_out => ResultWord::Policy,
                    word => word,
                }),
                dmarc: Some(dmarc),
                arc: Some(arc_word(&arc)),
                domain: mail.from_domain.clone(),
            },
            policy,
            vouched,
        }
    }

    /// SPF of the envelope sender; of the client's name where that is null (RFC 7208 section 2.4).
    async fn spf(&self, mail: &Submission, deadline: Instant) -> SpfOutput {
        let budget = Budget::new(self.settings.limits.dns_lookups);
        let (peer, host) = (mail.peer.to_canonical(), self.settings.hostname.as_str());
        let identity = if mail.mail_from.is_empty() {
            SpfParameters::verify_ehlo(peer, &mail.helo, host)
        } else {
            SpfParameters::verify_mail_from(peer, &mail.helo, host, &mail.mail_from)
        };
        let check = self.dns.0.verify_spf(with_budget(identity, &budget));
        match timeout_at(deadline, check).await {
            // An answer that was not asked for could have been a pass or none.
            Ok(output) if !budget.spent() => output,
            _ => SpfOutput::new(spf_domain(mail).to_owned()).with_result(SpfResult::TempError),
        }
    }

    async fn dkim<'x>(
        &self,
        message: &'x AuthenticatedMessage<'x>,
        budget: &'x Budget,
    ) -> Vec<DkimOutput<'x>> {
        self.dns.0.verify_dkim(with_budget(message, budget)).await
    }

    async fn arc<'x>(
        &self,
        message: &'x AuthenticatedMessage<'x>,
        budget: &'x Budget,
    ) -> ArcOutput<'x> {
        if is_weak_chain(message, &self.settings.limits) {
            return failed_chain();
        }
        self.dns.0.verify_arc(with_budget(message, budget)).await
    }

    async fn dmarc(
        &self,
        mail: &Submission,
        message: &AuthenticatedMessage<'_>,
        spf: &SpfOutput,
        dkim: &[DkimOutput<'_>],
        budget: &Budget,
        deadline: Instant,
    ) -> (ResultWord, Policy) {
        // More than one author, or one that we and mail-auth read differently: nobody can vouch for that.
        let domains: Vec<&str> = message.from.iter().map(|from| domain_of(from)).collect();
        let same = matches!(domains.as_slice(), [one] if to_a_label(one) == mail.from_domain);
        if !same || mail.from_domain.is_empty() {
            return (ResultWord::PermError, Policy::None);
        }
        let parameters = DmarcParameters {
            message,
            dkim_output: dkim,
            dkim2_output: None,
            rfc5321_mail_from_domain: spf_domain(mail),
            spf_output: spf,
        };
        let check = self.dns.0.verify_dmarc(with_budget(parameters, budget));
        match timeout_at(deadline, check).await {
            Ok(output) => (dmarc_word(&output.result()), output.policy().into()),
            Err(_) => (ResultWord::TempError, Policy::None),
        }
    }
}

/// The domain that SPF is asked about.
fn spf_domain(mail: &Submission) -> &str {
    match mail.mail_from.rsplit_once('@') {
        Some((_, domain)) => domain,
        None => &mail.helo,
    }
}

fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// A failure that the domain's owner wants rejected is one unless a trusted sealer vouches for the mail: then a
/// forwarder has changed it, and nothing is proven either way.
fn verdict(dmarc: ResultWord, policy: Policy, vouched: bool) -> Verdict {
    match (dmarc, policy) {
        (ResultWord::Pass, _) => Verdict::Verified,
        (ResultWord::Fail, Policy::Reject) if !vouched => Verdict::Failed,
        _ => Verdict::Unverified,
    }
}

/// Bytes of the header, counted up to a little more than `limit`.
fn header_length(raw: &[u8], limit: usize) -> usize {
    let looked_at = &raw[..raw.len().min(limit.saturating_add(4))];
    let end = |mark: &[u8]| {
        looked_at
            .windows(mark.len())
            .position(|window| window == mark)
    };
    end(b"\n\r\n")
        .into_iter()
        .chain(end(b"\n\n"))
        .min()
        .unwrap_or(looked_at.len())
}

/// Leaves out signatures that prove nothing (of SHA-1, RFC 8301; that do not cover From, RFC 6376 section 5.4) or that
/// are beyond the limit; says whether there were any. Reports and third-party signatures (RFC 6541), which DMARC does
/// not know, would only cost questions.
fn choose_signatures(
    message: &mut AuthenticatedMessage<'_>,
    domain: &str,
    limits: &Limits,
) -> bool {
    let signatures = &mut message.dkim_headers;
    let before = signatures.len();
    signatures.retain(|header| {
        let names = &header.header.h;
        header.header.a != Algorithm::RsaSha1
            && names.len() <= limits.header_fields
            && names.iter().any(|name| name.eq_ignore_ascii_case("from"))
    });
    signatures.sort_by_key(|header| !is_or_is_below(&header.header.d, domain));
    signatures.truncate(limits.signatures);
    for header in signatures.iter_mut() {
        header.header.r = false;
        header.header.atps = None;
    }
    signatures.len() < before
}

/// What mail-auth takes and RFC 8617 does not: SHA-1 (section 4.1.4), and signatures over seals (section 4.1.2).
fn is_weak_chain(message: &AuthenticatedMessage<'_>, limits: &Limits) -> bool {
    let seals = message.as_headers.iter().map(|seal| seal.header.a);
    let signatures = message.ams_headers.iter().map(|set| set.header.a);
    let names = |name: &String| name.eq_ignore_ascii_case("arc-seal");
    seals
        .chain(signatures)
        .any(|algorithm| algorithm == Algorithm::RsaSha1)
        || message
            .ams_headers
            .iter()
            .any(|set| set.header.h.len() > limits.header_fields || set.header.h.iter().any(names))
}

fn failed_chain<'x>() -> ArcOutput<'x> {
    ArcOutput::default().with_result(DkimResult::Fail(Error::Arc(ArcError::BrokenChain)))
}

fn late_chain<'x>() -> ArcOutput<'x> {
    let late = Error::Dns(mail_auth::DnsError::Resolver("late".to_owned()));
    ArcOutput::default().with_result(DkimResult::TempError(late))
}

fn with_budget<P>(
    params: P,
    budget: &Budget,
) -> Parameters<'_, P, Budget, Budget, Budget, Budget, Budget> {
    Parameters {
        params,
        cache_txt: Some(budget),
        cache_mx: Some(budget),
        cache_ptr: Some(budget),
        cache_ipv4: Some(budget),
        cache_ipv6: Some(budget),
    }
}
