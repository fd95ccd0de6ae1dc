//! What an account says about the mail that it sends, checked at start.

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    template::{Template, TemplateError},
    verp,
};
use solmu_mime::address::{Address, AddressError};

/// Stands in an unsubscribe address for the signed id of the message.
const MESSAGE_PLACE: &str = "{message}";
/// Longest unsubscribe address in octets: it stands in a header line with another one.
const URL_MAX: usize = 600;

/// How an account's mail looks besides what its agents write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutgoingConfig {
    /// What stands around an agent's answer (Jinja syntax): `{{ body }}` must be in it; `{{ agent }}`, `{{ ticket }}`
    /// (the number), `{{ account }}` and `{{ signature }}` may be. Empty: the answer alone.
    pub reply_template: String,
    /// Text for `{{ signature }}`.
    pub signature: String,
    /// Quotes the customer's message below an agent's answer, introduced in the language of the ticket (Finnish,
    /// Swedish, German, else English). How much of it is `tickets.quoting.max_characters`.
    pub quote: bool,
    /// Zone of the time in that introduction: an IANA name, e.g. `Europe/Helsinki`.
    pub time_zone: String,
    /// Domain whose mail comes to this SMTP server, for return paths `bounce+<message>@...` of answers, so that each
    /// bounce says which message it is about. Empty: bounces go to the address that the answer is from.
    pub bounce_domain: String,
    /// Ends each mail with a short signed mark (hidden in HTML), so that an answer finds its ticket also when addresses
    /// and ids were rewritten on the way.
    pub body_marker: bool,
    /// Where recipients of automatic mail can stop it by one click (RFC 8058): an https address that takes a POST.
    /// `{message}` in it becomes the signed id of the message. The relay must sign the header with DKIM.
    pub unsubscribe_url: String,
    /// Mail address for the same purpose.
    pub unsubscribe_address: String,
}

impl Default for OutgoingConfig {
    fn default() -> Self {
        Self {
            reply_template: String::new(),
            signature: String::new(),
            quote: true,
            time_zone: "UTC".to_owned(),
            bounce_domain: String::new(),
            body_marker: false,
            unsubscribe_url: String::new(),
            unsubscribe_address: String::new(),
        }
    }
}

/// Something wrong in an [`OutgoingConfig`].
#[derive(Debug, thiserror::Error)]
pub enum OutgoingConfigError {
    /// The template.
    #[error("'reply_template' cannot be used")]
    Template(#[source] TemplateError),
    /// No zone.
    #[error("'time_zone' is no IANA time zone")]
    TimeZone(#[source] jiff::Error),
    /// No domain.
    #[error("'bounce_domain' is no domain")]
    BounceDomain(#[source] AddressError),
    /// Not `https`, or not fit for a header.
    #[error("'unsubscribe_url' must be an https address of at most {URL_MAX} ASCII characters")]
    UnsubscribeUrl,
    /// No address.
    #[error("'unsubscribe_address' is no address")]
    UnsubscribeAddress(#[source] AddressError),
}

/// A checked [`OutgoingConfig`].
#[derive(Debug, Default)]
pub struct Outgoing {
    pub(super) template: Option<Template>,
    pub(super) signature: String,
    /// Zone of times in quotes, if answers quote.
    pub(super) quote: Option<TimeZone>,
    pub(super) bounce: Option<Address>,
    pub(super) body_marker: bool,
    unsubscribe_url: String,
    unsubscribe_address: Option<Address>,
}

impl Outgoing {
    /// Checks everything; all errors are reported at once.
    pub fn new(config: &OutgoingConfig) -> Result<Self, Vec<OutgoingConfigError>> {
        let mut errors = Vec::new();
        let template = some(&config.reply_template).and_then(|source| {
            Template::new(source)
                .map_err(|error| errors.push(OutgoingConfigError::Template(error)))
                .ok()
        });
        let zone = TimeZone::get(&config.time_zone)
            .map_err(|error| errors.push(OutgoingConfigError::TimeZone(error)))
            .ok();
        let bounce = some(&config.bounce_domain).and_then(|domain| {
            Address::parse(&format!("{}@{domain}", verp::LOCAL_PART))
                .map_err(|error| errors.push(OutgoingConfigError::BounceDomain(error)))
                .ok()
        });
        let url = config.unsubscribe_url.as_str();
        let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b',');
        let good = url.starts_with("https://") && url.len() <= URL_MAX && url.bytes().all(legal);
        if !url.is_empty() && !good {
            errors.push(OutgoingConfigError::UnsubscribeUrl);
        }
        let unsubscribe_address = some(&config.unsubscribe_address).and_then(|address| {
            Address::parse(address)
                .map_err(|error| errors.push(OutgoingConfigError::UnsubscribeAddress(error)))
                .ok()
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            template,
            signature: config.signature.clone(),
            quote: zone.filter(|_| config.quote),
            bounce,
            body_marker: config.body_marker,
            unsubscribe_url: url.to_owned(),
            unsubscribe_address,
        })
    }

    /// Where bounces come to, if they have an address of their own: the SMTP server must take mail for it.
    #[must_use]
    pub fn bounce_address(&self) -> Option<&Address> {
        self.bounce.as_ref()
    }

    /// Value of List-Unsubscribe, and whether one click is enough.
    pub(super) fn unsubscribe(&self, message_id: &str) -> Option<(String, bool)> {
        let token = message_id.split('@').next().unwrap_or_default();
        let url = some(&self.unsubscribe_url)
            .map(|url| format!("<{}>", url.replace(MESSAGE_PLACE, token)));
        let address = self
            .unsubscribe_address
            .as_ref()
            .map(|address| format!("<mailto:{address}?subject=unsubscribe>"));
        let one_click = url.is_some();
        let ways: Vec<String> = url.into_iter().chain(address).collect();
        (!ways.is_empty()).then(|| (ways.join(",\r\n "), one_click))
    }
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
