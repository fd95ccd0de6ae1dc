//! What a mail says, in our own types: nothing of the MIME library shows here, so that its next version changes one
//! module.

use jiff::Timestamp;
use solmu_domain::contact::EmailAddress;

use crate::address::Address;

/// A name and an address as a header gives them. The address is not checked: broken ones are kept for the reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mailbox {
    /// Decoded display name, possibly empty.
    pub name: String,
    /// As written.
    pub address: String,
}

impl Mailbox {
    /// `Name <a@b>` or `a@b` in a raw header; the address as [`Address`] prints it.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let inner = text
            .rsplit_once('<')
            .and_then(|(name, rest)| Some((name, rest.split_once('>')?.0)));
        let (name, address) = inner.unwrap_or(("", text));
        let address = Address::parse(address).ok()?.to_string();
        Some(Self {
            name: name.trim().trim_matches('"').to_owned(),
            address,
        })
    }

    /// Its address for matching; strict where possible, because an address that only a lenient reader takes is better
    /// than none.
    #[must_use]
    pub fn normalised(&self) -> Option<String> {
        let strict = Address::parse(&self.address)
            .ok()
            .map(|address| address.normalised());
        strict.or_else(|| {
            EmailAddress::parse(&self.address)
                .ok()
                .map(|address| address.as_str().to_owned())
        })
    }
}

/// A header field: name in lower case, value unfolded and trimmed, encoded words not decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Lower case.
    pub name: String,
    /// One line.
    pub value: String,
}

/// The header fields of a mail in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<Field>);

impl Fields {
    /// The first field of that name (lower case).
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|field| field.name == name)
            .map(|field| field.value.as_str())
    }

    /// All fields of that name (lower case), topmost first.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0
            .iter()
            .filter(move |field| field.name == name)
            .map(|field| field.value.as_str())
    }

    /// Whether there is a field of that name (lower case).
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }
}

/// A file in a mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParsedAttachment {
    /// Without folders and control characters; empty if the mail gives none.
    pub filename: String,
    /// `type/subtype` in lower case.
    pub content_type: String,
    /// Without angle brackets; empty if there is none.
    pub content_id: String,
    /// Shown within the text rather than below it.
    pub inline: bool,
    /// Decoded content.
    pub bytes: Vec<u8>,
}

/// How the original is signed or encrypted. Signatures are not checked and nothing is decrypted: the parts are kept as
/// files for whoever has the keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protection {
    /// Neither.
    #[default]
    None,
    /// OpenPGP signature (RFC 3156), also within the text.
    PgpSigned,
    /// OpenPGP encryption, also within the text.
    PgpEncrypted,
    /// S/MIME signature (RFC 8551).
    SmimeSigned,
    /// S/MIME encryption.
    SmimeEncrypted,
}

impl Protection {
    /// Whether the content cannot be read here.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::PgpEncrypted | Self::SmimeEncrypted)
    }
}

/// A part that a machine wrote for a machine (RFC 3464, RFC 8098, RFC 5965).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// For example `message/delivery-status`.
    pub content_type: String,
    /// Decoded text.
    pub text: String,
}

/// A mail inside another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachedMail {
    /// The first address of its From.
    pub from: Mailbox,
    /// Decoded.
    pub subject: String,
    /// The beginning of its plain text.
    pub text: String,
}

/// A mail, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParsedMail {
    /// All header fields, up to the limit.
    pub fields: Fields,
    /// Own Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// Usually one; none in some bounces.
    pub from: Vec<Mailbox>,
    /// Recipients.
    pub to: Vec<Mailbox>,
    /// Copies.
    pub cc: Vec<Mailbox>,
    /// Where answers shall go.
    pub reply_to: Vec<Mailbox>,
    /// Decoded.
    pub subject: String,
    /// The Date header, if it is a date.
    pub date: Option<Timestamp>,
    /// Ids of In-Reply-To in their order, without angle brackets.
    pub in_reply_to: Vec<String>,
    /// Ids of References, oldest first, without angle brackets. In the middle of a very long list some are left out.
    pub references: Vec<String>,
    /// Plain text; made from the HTML when there is none.
    pub text: String,
    /// Sanitised HTML; empty if there is none.
    pub html: String,
    /// Files and inline images.
    pub attachments: Vec<ParsedAttachment>,
    /// Parts for machines.
    pub reports: Vec<Report>,
    /// Header fields of a message that a report returns to us.
    pub returned: Option<Fields>,
    /// Type of the whole mail, for example `multipart/report`.
    pub content_type: String,
    /// Parameter `report-type` of a `multipart/report`, lower case.
    pub report_type: String,
    /// How the original is signed or encrypted.
    pub protection: Protection,
    /// The first mail that is attached as a file.
    pub attached: Option<AttachedMail>,
    /// What the reader must be told.
    pub notices: Vec<String>,
}

impl ParsedMail {
    /// Who From says wrote it: the first with an address that can be used, else the first.
    #[must_use]
    pub fn author(&self) -> Option<&Mailbox> {
        self.from
            .iter()
            .find(|from| from.normalised().is_some())
            .or_else(|| self.from.first())
    }
}
