//! Whether the sender is who the From header says, as our own mail exchanger saw it (RFC 8601).
//!
//! Anybody can write an `Authentication-Results` header. It counts only with the configured authserv-id, only the
//! topmost one of that id, and only above the Received headers of strangers: our exchanger writes at the top, so what
//! stands lower came with the mail. Headers of other ids are never read, wherever they stand.

mod results;
#[cfg(test)]
mod tests;

use crate::{
    address::Address,
    mail::{Fields, ParsedMail},
};

pub use results::{MethodResult, Results};

/// What is known of the sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verdict {
    /// DMARC passed for the domain of From: the domain's owner let this mail be sent.
    Verified,
    /// Anything else: shown, never trusted.
    #[default]
    Unverified,
    /// The domain's owner asks that mail like this one be rejected.
    Failed,
}

/// Who looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// Nobody.
    #[default]
    None,
    /// Our mail exchanger, in a header.
    Header,
    /// We ourselves, while the mail came in.
    Smtp,
    /// The mail provider that took the mail in for us, in a request that it signed.
    Provider,
}

impl Method {
    /// The word in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Header => "authentication-results",
            Self::Smtp => "smtp",
            Self::Provider => "provider",
        }
    }
}

/// The outcome of a method, in the words of RFC 8601 section 2.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultWord {
    /// Nothing to check.
    None,
    /// The check passed.
    Pass,
    /// The check failed.
    Fail,
    /// It failed, but the domain's owner is not sure (SPF `~all`).
    SoftFail,
    /// It says nothing.
    Neutral,
    /// It passed or failed, but local policy says otherwise.
    Policy,
    /// It could not be checked now.
    TempError,
    /// It cannot be checked: a record or a signature is broken.
    PermError,
}

impl ResultWord {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::Policy => "policy",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }

    /// Reads a word, also the ones that some software writes instead.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            // Microsoft's guess for a domain without a DMARC record: nobody has vouched for anything.
            "none" | "bestguesspass" => Self::None,
            "pass" => Self::Pass,
            "fail" | "hardfail" => Self::Fail,
            "softfail" => Self::SoftFail,
            "neutral" => Self::Neutral,
            "policy" => Self::Policy,
            "temperror" => Self::TempError,
            "permerror" => Self::PermError,
            _ => return None,
        })
    }
}

/// What was found out about the sender.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// All together.
    pub verdict: Verdict,
    /// Who looked.
    pub method: Method,
    /// SPF (RFC 7208); `None` if it was not checked.
    pub spf: Option<ResultWord>,
    /// DKIM (RFC 6376): of the signature of From's domain if there is one, else of the best one.
    pub dkim: Option<ResultWord>,
    /// DMARC (RFC 7489, RFC 9989).
    pub dmarc: Option<ResultWord>,
    /// ARC (RFC 8617).
    pub arc: Option<ResultWord>,
    /// Domain of From, that the verdict is about; empty if there is not exactly one author.
    pub domain: String,
}

/// How far results are trusted.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// Name that our mail exchanger signs its results with; `None` trusts nobody. Empty for an exchanger that writes
    /// none (Microsoft 365).
    pub authserv_id: Option<&'a str>,
    /// Received headers of our own machines that may stand above the results.
    pub trusted_hops: usize,
}

/// Judges the sender of `mail` by the results that our mail exchanger wrote into it.
#[must_use]
pub fn judge(mail: &ParsedMail, trust: Trust<'_>) -> Findings {
    let domain = author_domain(mail).unwrap_or_default();
    let found = trust
        .authserv_id
        .and_then(|id| own_results(&mail.fields, id, trust.trusted_hops));
    let Some(results) = found else {
        return Findings {
            domain,
            ..Findings::default()
        };
    };
    let dmarc = dmarc(&results, &domain);
    // Without a domain there is none or more than one author, and DMARC has vouched for at most one of them (RFC 7489
    // section 6.6.1).
    let verified = dmarc == Some(ResultWord::Pass) && !domain.is_empty();
    Findings {
        verdict: if verified {
            Verdict::Verified
        } else {
            Verdict::Unverified
        },
        method: Method::Header,
        spf: first(&results, "spf"),
        dkim: dkim(&results, &domain),
        dmarc,
        arc: first(&results, "arc"),
        domain,
    }
}

/// The domain of From if it names exactly one author, in lower case.
#[must_use]
pub fn author_domain(mail: &ParsedMail) -> Option<String> {
    let [from] = mail.from.as_slice() else {
        return None;
    };
    if mail.fields.all("from").count() > 1 {
        return None;
    }
    let from = Address::parse(&from.address).ok()?;
    Some(from.domain().to_ascii_lowercase())
}

/// Whether the results of an ARC set (RFC 8617 section 4.1.1), `i=1; authserv-id; results`, say that DMARC passed for
/// `domain`.
#[must_use]
pub fn arc_says_pass(value: &str, domain: &str) -> bool {
    let Some((_, results)) = value.split_once(';') else {
        return false;
    };
    dmarc(&Results::parse(results), domain) == Some(ResultWord::Pass)
}

/// The topmost results of our own id, if no more than `hops` Received headers stand above them.
fn own_results(fields: &Fields, authserv_id: &str, hops: usize) -> Option<Results> {
    let mut received = 0;
    for field in &fields.0 {
        match field.name.as_str() {
            "received" => received += 1,
            "authentication-results" => {
                let results = Results::parse(&field.value);
                // A version that we do not know may mean anything (RFC 8601 section 2.2).
                if results.authserv_id.eq_ignore_ascii_case(authserv_id) && results.version == 1 {
                    return Some(results);
                }
            }
            _ => {}
        }
        if received > hops {
            return None;
        }
    }
    None
}

/// The only result of DMARC, or the first one that is no pass; a pass for another domain is no pass of this one.
fn dmarc(results: &Results, domain: &str) -> Option<ResultWord> {
    let mut outcome = None;
    for result in results.of("dmarc") {
        let word = result.result?;
        if word != ResultWord::Pass {
            return Some(word);
        }
        let about = result.property("header.from");
        if about.is_some_and(|about| !is_domain_of(about, domain)) {
            return Some(ResultWord::Neutral);
        }
        outcome = Some(word);
    }
    outcome
}

/// The result of the signature of From's domain, else a pass, else the first one.
fn dkim(results: &Results, domain: &str) -> Option<ResultWord> {
    let aligned = |result: &&MethodResult| {
        let signer = result
            .property("header.d")
            .or_else(|| result.property("header.i"))
            .map(|value| value.rsplit('@').next().unwrap_or_default());
        signer.is_some_and(|signer| {
            signer.eq_ignore_ascii_case(domain) || is_domain_of(signer, domain)
        })
    };
    let passed = |result: &&MethodResult| result.result == Some(ResultWord::Pass);
    let best = results
        .of("dkim")
        .find(|result| aligned(result) && passed(result))
        .or_else(|| results.of("dkim").find(aligned))
        .or_else(|| results.of("dkim").find(passed))
        .or_else(|| results.of("dkim").next());
    best.and_then(|result| result.result)
}

fn first(results: &Results, method: &str) -> Option<ResultWord> {
    results.of(method).find_map(|result| result.result)
}

/// Some exchangers write the organisational domain, some the domain of From, some the address.
fn is_domain_of(checked: &str, from_domain: &str) -> bool {
    let checked = checked
        .rsplit('@')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    from_domain == checked
        || from_domain
            .strip_suffix(checked.as_str())
            .is_some_and(|rest| rest.ends_with('.') && checked.contains('.'))
}
