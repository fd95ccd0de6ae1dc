//! Names and addresses of a header field, broken ones mended as far as that is certain.

use mail_parser::Address as MailAddress;

use super::header::clean_line;
use crate::{
    address::{Address, LOCAL_PART_MAX},
    mail::Mailbox,
};

/// Addresses of a field up to which broken ones are mended: each costs a look at the whole field.
const MENDED_MAX: usize = 20;

/// The mailboxes of a field; `raw` is its value as written.
pub(super) fn mailboxes(list: &MailAddress<'_>, raw: &[u8]) -> Vec<Mailbox> {
    let mailbox = |address: &mail_parser::Addr<'_>| Mailbox {
        name: clean_line(address.name.as_deref().unwrap_or_default()),
        address: clean_line(address.address.as_deref().unwrap_or_default()),
    };
    let has_address = |mailbox: &Mailbox| !mailbox.address.is_empty() || !mailbox.name.is_empty();
    let mut found: Vec<Mailbox> = match list {
        MailAddress::List(list) => list.iter().map(mailbox).filter(has_address).collect(),
        MailAddress::Group(groups) => groups
            .iter()
            .flat_map(|group| &group.addresses)
            .map(mailbox)
            .filter(has_address)
            .collect(),
    };
    if found.len() <= MENDED_MAX {
        for mailbox in &mut found {
            name_to_local_part(mailbox, raw);
            if let Some(address) = mended_address(&mailbox.address, raw) {
                mailbox.address = address;
            }
        }
    }
    for mailbox in &mut found {
        name_to_address(mailbox);
    }
    joined(found)
}

/// An encoded word that holds the whole mailbox gives a name that is one: `Aino <aino@c.example>`.
fn name_to_address(mailbox: &mut Mailbox) {
    if mailbox.address.is_empty()
        && mailbox.name.contains('@')
        && let Some(inner) = Mailbox::of_text(&mailbox.name)
    {
        *mailbox = inner;
    }
}

/// A quoted local part is taken for a name by the decoder: `"a b"@c.example`.
fn name_to_local_part(mailbox: &mut Mailbox, raw: &[u8]) {
    if mailbox.name.is_empty() || !mailbox.address.starts_with('@') {
        return;
    }
    let whole = quoted(&format!("{}{}", mailbox.name, mailbox.address));
    let raw = String::from_utf8_lossy(raw);
    if let Some(address) = whole.filter(|address| raw.contains(address.as_str())) {
        *mailbox = Mailbox {
            name: String::new(),
            address,
        };
    }
}

/// A name with a comma and no quotes falls into two: `Virtanen, Aino <aino@c.example>`. What has no at sign is put
/// before the name that follows it.
fn joined(found: Vec<Mailbox>) -> Vec<Mailbox> {
    let label = |mailbox: &Mailbox| match (mailbox.name.as_str(), mailbox.address.as_str()) {
        (name, "") | ("", name) if !name.contains('@') => Some(name.to_owned()),
        _ => None,
    };
    let mut whole: Vec<Mailbox> = Vec::with_capacity(found.len());
    for mut mailbox in found {
        let is_named = mailbox.address.contains('@') && !mailbox.name.is_empty();
        while is_named && let Some(before) = whole.last().and_then(label) {
            whole.pop();
            mailbox.name = clean_line(&format!("{before}, {}", mailbox.name));
        }
        whole.push(mailbox);
    }
    whole
}

/// The shape of nearly all addresses, told without taking them apart.
fn is_plain(address: &str) -> bool {
    let Some((local, domain)) = address.split_once('@') else {
        return false;
    };
    let word = |byte: u8| byte.is_ascii_alphanumeric();
    let is_domain = domain
        .split('.')
        .all(|label| !label.is_empty() && label.len() < 20 && label.bytes().all(word));
    is_domain
        && domain.len() < 100
        && (1..=LOCAL_PART_MAX).contains(&local.len())
        && local
            .bytes()
            .all(|byte| word(byte) || matches!(byte, b'_' | b'-' | b'.' | b'+'))
}

/// What a broken address begins with, if that is one: `<a@b.example>a@b.example`, `a@b.example www.b.example`; one that
/// lost its quotes, or that somebody copied with its `mailto:`.
fn mended_address(address: &str, raw: &[u8]) -> Option<String> {
    if address.is_empty() || is_plain(address) || Address::parse(address).is_ok() {
        return None;
    }
    if let Some(copied) = without_scheme(address) {
        return Some(copied);
    }
    let raw = String::from_utf8_lossy(raw);
    if let Some(quoted) = quoted(address).filter(|quoted| raw.contains(quoted.as_str())) {
        return Some(quoted);
    }
    let bracketed = raw
        .split('<')
        .skip(1)
        .filter_map(|part| Some(part.split_once('>')?.0.trim()))
        .filter(|part| address.starts_with(part));
    bracketed
        .chain(address.split([' ', ',', ';']).take(1))
        .find(|part| Address::parse(part).is_ok())
        .map(str::to_owned)
}

fn without_scheme(address: &str) -> Option<String> {
    const SCHEME: &str = "mailto:";
    let start = address.get(..SCHEME.len())?;
    let rest = address.get(SCHEME.len()..)?;
    (start.eq_ignore_ascii_case(SCHEME) && Address::parse(rest).is_ok()).then(|| rest.to_owned())
}

/// An address whose local part needs quotes, with them (RFC 5322 section 3.2.4).
fn quoted(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    let local = local.trim_matches('"');
    let escaped = local.replace('\\', "\\\\").replace('"', "\\\"");
    let quoted = format!("\"{escaped}\"@{domain}");
    Address::parse(&quoted).is_ok().then_some(quoted)
}
