//! What the checks of a mail came to, in our own words.

use mail_auth::{
    ArcOutput, DkimOutput, DkimResult, DmarcResult, Error, SpfResult, arc::ArcError,
    dkim::DkimError, dmarc::Policy as MailAuthPolicy,
};
use solmu_mime::authenticity::{Findings, ResultWord, arc_says_pass};

/// What the owner of From's domain asks for where DMARC fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nothing, or there is no policy.
    #[default]
    None,
    /// To be careful.
    Quarantine,
    /// Not to take the mail.
    Reject,
}

impl Policy {
    /// The word in DNS records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }
}

impl From<MailAuthPolicy> for Policy {
    fn from(policy: MailAuthPolicy) -> Self {
        match policy {
            MailAuthPolicy::Reject => Self::Reject,
            MailAuthPolicy::Quarantine => Self::Quarantine,
            MailAuthPolicy::None | MailAuthPolicy::Unspecified => Self::None,
        }
    }
}

/// What the checks of a mail came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Verdict, words and domain.
    pub findings: Findings,
    /// What the domain's owner asks for.
    pub policy: Policy,
    /// A sealer that we trust says that DMARC passed where the mail came from.
    pub vouched: bool,
}

pub(crate) fn spf_word(result: SpfResult) -> ResultWord {
    match result {
        SpfResult::Pass => ResultWord::Pass,
        SpfResult::Fail => ResultWord::Fail,
        SpfResult::SoftFail => ResultWord::SoftFail,
        SpfResult::Neutral => ResultWord::Neutral,
        SpfResult::TempError => ResultWord::TempError,
        SpfResult::PermError => ResultWord::PermError,
        SpfResult::None => ResultWord::None,
    }
}

pub(crate) fn dmarc_word(result: &DmarcResult) -> ResultWord {
    match result {
        DmarcResult::Pass => ResultWord::Pass,
        DmarcResult::Fail(_) => ResultWord::Fail,
        DmarcResult::TempError(_) => ResultWord::TempError,
        DmarcResult::PermError(_) => ResultWord::PermError,
        DmarcResult::None => ResultWord::None,
    }
}

/// mail-auth calls a body that was changed and a signature that is too old neutral; RFC 8601 section 2.7.1 keeps that
/// for signatures that cannot be read.
fn signature_word(result: &DkimResult) -> ResultWord {
    match result {
        DkimResult::Pass => ResultWord::Pass,
        DkimResult::Neutral(
            Error::Dkim(DkimError::FailedBodyHashMatch | DkimError::SignatureExpired)
            | Error::Arc(_),
        )
        | DkimResult::Fail(_) => ResultWord::Fail,
        DkimResult::Neutral(_) => ResultWord::Neutral,
        DkimResult::TempError(_) => ResultWord::TempError,
        DkimResult::PermError(_) => ResultWord::PermError,
        DkimResult::None => ResultWord::None,
    }
}

/// Of the signature of From's domain if there is one, else of the best one.
pub(crate) fn dkim_word(signatures: &[DkimOutput<'_>], domain: &str) -> ResultWord {
    let rank = |output: &DkimOutput<'_>| {
        let aligned = output
            .signature()
            .is_some_and(|signature| is_or_is_below(&signature.d, domain));
        let word = signature_word(output.result());
        let quality = match word {
            ResultWord::Pass => 0,
            ResultWord::TempError => 1,
            ResultWord::Fail => 2,
            _ => 3,
        };
        ((!aligned, quality), word)
    };
    signatures
        .iter()
        .map(rank)
        .min_by_key(|(rank, _)| *rank)
        .map_or(ResultWord::None, |(_, word)| word)
}

/// Whether two domains are the same, or one is below the other: as close as one can say without asking for policies.
pub(crate) fn is_or_is_below(one: &str, other: &str) -> bool {
    let below = |long: &str, short: &str| {
        let start = long.len().checked_sub(short.len());
        !short.is_empty()
            && start.is_some_and(|start| {
                long.get(start..)
                    .is_some_and(|end| end.eq_ignore_ascii_case(short))
                    && (start == 0 || long.as_bytes()[start - 1] == b'.')
            })
    };
    below(one, other) || below(other, one)
}

/// A chain that is broken or longer than anybody's has failed; RFC 8617 section 5.2 knows no neutral.
pub(crate) fn arc_word(chain: &ArcOutput<'_>) -> ResultWord {
    match chain.result() {
        DkimResult::Neutral(Error::Arc(ArcError::BrokenChain)) => ResultWord::Fail,
        other => signature_word(other),
    }
}

/// Whether a chain that holds leads from the results `dmarc=pass` for `domain` to us by trusted sealers only: one that
/// is not trusted could have put an old chain on a mail of its own.
pub(crate) fn vouched(chain: &ArcOutput<'_>, trusted: &[String], domain: &str) -> bool {
    *chain.result() == DkimResult::Pass
        && chain
            .sets()
            .iter()
            .rev()
            .take_while(|set| {
                let sealer = &set.seal.header.d;
                trusted.iter().any(|name| name.eq_ignore_ascii_case(sealer))
            })
            .any(|set| arc_says_pass(&String::from_utf8_lossy(set.results.value), domain))
}
