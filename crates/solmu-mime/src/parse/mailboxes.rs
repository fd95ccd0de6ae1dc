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
            if let Some(address) = mended_address(&mailbox.address, raw) {
                mailbox.address = address;
            }
        }
    }
    found
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

/// What a broken address begins with, if that is one: `<a@b.example>a@b.example`, `a@b.example www.b.example`.
fn mended_address(address: &str, raw: &[u8]) -> Option<String> {
    if address.is_empty() || is_plain(address) || Address::parse(address).is_ok() {
        return None;
    }
    let raw = String::from_utf8_lossy(raw);
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
