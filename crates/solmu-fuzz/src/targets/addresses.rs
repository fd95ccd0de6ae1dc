//! Addresses, one a line: as commands, headers and contacts have them.

use solmu_domain::contact::EmailAddress;
use solmu_mime::{
    address::Address,
    parse::{ParseLimits, parse},
};

use super::{Target, size_class, way};
use crate::seeds;

/// Lines with addresses.
#[derive(Debug)]
pub(super) struct AddressTarget;

impl Target for AddressTarget {
    fn name(&self) -> &'static str {
        "addresses"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        seeds::addresses()
    }

    fn words(&self) -> &'static [&'static str] {
        &seeds::ADDRESS_WORDS
    }

    fn longest(&self) -> usize {
        8 * 1024
    }

    fn read(&mut self, input: &[u8]) -> u64 {
        let text = String::from_utf8_lossy(input);
        let mut kinds: Vec<String> = Vec::new();
        for line in text.lines().take(64) {
            kinds.push(read_line(line));
        }
        let header = format!("From: {text}\r\nTo: {text}\r\n\r\nx");
        let mail = parse(header.as_bytes(), &ParseLimits::default());
        for mailbox in mail.from.iter().chain(&mail.to) {
            assert!(
                !mailbox.address.chars().any(char::is_control),
                "an address that is no line"
            );
            read_line(&mailbox.address);
        }
        kinds.truncate(4);
        way((
            kinds,
            size_class(mail.from.len()),
            size_class(mail.to.len()),
        ))
    }
}

/// What is an address stays the same one, however often it is written and read.
fn read_line(line: &str) -> String {
    let address = Address::parse(line);
    let lenient = EmailAddress::parse(line);
    let address = match address {
        Ok(address) => address,
        Err(error) => return format!("{error:?}{}", lenient.is_ok()),
    };
    let written = address.to_string();
    assert!(
        !written.chars().any(char::is_control),
        "an address that is no line"
    );
    let again = Address::parse(&written);
    assert!(
        again.as_ref() == Ok(&address),
        "an address that is read otherwise"
    );
    assert!(address.domain().is_ascii(), "a domain that is not ASCII");
    assert!(
        address.domain() == address.domain().to_ascii_lowercase(),
        "a domain in capitals"
    );
    assert!(address.local().len() <= 64, "a local part that is too long");
    let untagged = address.without_tag();
    assert!(!untagged.contains('+') || address.tag().is_none() || address.domain().contains('+'));
    let shape: String = written
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' => 'a',
            '0'..='9' => '0',
            c if !c.is_ascii() => 'u',
            c => c,
        })
        .collect();
    let mut shape: Vec<char> = shape.chars().collect();
    shape.dedup();
    shape.truncate(12);
    shape.into_iter().collect()
}
