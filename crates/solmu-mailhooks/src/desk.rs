//! The seam to whoever reads mails and hands events in: the webhooks know providers, the desk knows accounts.

use std::error::Error;

use bytes::Bytes;
use solmu_mime::{address::Address, authenticity::ResultWord};
use solmu_proto::inbound::v1::DeliveryReported;

/// For people, on a mail that a provider takes for spam.
pub(crate) const SPAM_NOTICE: &str = "the mail provider takes this mail for spam";
/// For people, on a mail that a provider found a virus in.
pub(crate) const VIRUS_NOTICE: &str =
    "the mail provider found a virus in this mail: do not open its files";

/// A mail that a provider took in for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderMail {
    /// The whole mail.
    pub raw: Bytes,
    /// Envelope sender; the empty text is the null reverse-path, `None` means that the provider tells none.
    pub mail_from: Option<String>,
    /// Envelope recipients. A forwarder in between has some that are not ours: they do not count, and where none is
    /// left, the mail's own words decide.
    pub recipients: Vec<Address>,
    /// Name of the account that takes the mail if neither leads to one; none if empty.
    pub fallback: String,
    /// The only name under which Authentication-Results count, because no exchanger of ours has seen the mail; none if
    /// empty.
    pub authserv_id: String,
    /// What the provider found out about the mail, where its signature proves that it says so.
    pub verdicts: Option<Verdicts>,
}

/// What a provider that proved itself says of a mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// SPF; `None` if it says nothing.
    pub spf: Option<ResultWord>,
    /// DKIM.
    pub dkim: Option<ResultWord>,
    /// DMARC of From's domain.
    pub dmarc: Option<ResultWord>,
    /// The owner of From's domain asks that mail which fails DMARC be rejected.
    pub rejects: bool,
    /// Domains whose signatures passed, in lower case.
    pub signed_by: Vec<String>,
    /// What else people should know: spam, a virus.
    pub notices: Vec<String>,
}

impl Verdicts {
    /// Whether it says anything of the sender.
    #[must_use]
    pub fn says_who(&self) -> bool {
        [self.spf, self.dkim, self.dmarc]
            .iter()
            .any(Option::is_some)
    }
}

/// Takes in what providers post.
pub trait Desk: Send + Sync + 'static {
    /// Takes a mail in; `Ok` means that the bus has it on disk.
    fn take(&self, mail: ProviderMail) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Hands in reports on messages of ours, in their order; `Ok` means that the bus has them on disk.
    fn report(
        &self,
        reports: Vec<DeliveryReported>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Whether there is an account of that name.
    fn has_account(&self, name: &str) -> bool;

    /// Name of the account that stands beside a report: the Message-ID says which message it was, and the provider
    /// may not say whose. `configured` where there is such an account.
    fn reporting_account(&self, configured: &str) -> String;
}

/// Why a desk did not take something.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nobody here takes it.
    #[error("no account takes the mail")]
    NoAccount,
    /// It has more Received headers than any mail that arrives.
    #[error("the mail goes round in circles")]
    Loop,
    /// It never fits.
    #[error("the mail is too large")]
    TooLarge,
    /// Not now: the provider has to come again.
    #[error("the mail cannot be kept now")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}
