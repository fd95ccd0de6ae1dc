//! Signed reply addresses and Message-IDs: the proof that a mail answers a ticket.
//!
//! A reply address is `local+t.<ticket>.<kid>.<mac>@domain`; it survives clients that drop every threading header. A
//! Message-ID is `m.<message>.<ticket>.<kid>.<mac>@domain`; it survives clients that answer to the plain address.
//! Both carry the ticket itself, so nothing is looked up before the signature holds, and a forged one costs no query.
//! The ids are base32 in lower case because mail systems change the case of local parts.
//!
//! The local part has room for 64 octets (RFC 5321 section 4.5.3.1.1): 3 for `+t.`, 26 for the ticket, 1 for the dot
//! and at most 21 for the token leave 13 for the account's own name with key ids of four characters, 16 with key ids
//! of one. [`ReplyAddress::new`] refuses what does not fit, so that it is found at start and not at the first reply.

use solmu_domain::{
    ids::{MessageId, TicketId},
    signed::{Signer, uuid_from_base32, uuid_to_base32},
};

use crate::address::{Address, LOCAL_PART_MAX};

const REPLY_PURPOSE: &str = "email-reply-address";
const MESSAGE_PURPOSE: &str = "email-message-id";
/// Characters of a UUID in base32.
const ID_LENGTH: usize = 26;

/// An address that cannot carry a signed ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyAddressError {
    /// There is no room for the ticket and its signature.
    #[error(
        "the part before the at sign is {over} octets too long for signed reply addresses: set a shorter 'reply_address'"
    )]
    TooLong {
        /// Octets over the limit.
        over: usize,
    },
    /// It already has a plus tag.
    #[error("an address with a plus tag cannot carry another one")]
    HasTag,
}

/// A base address of ours that reply addresses are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyAddress {
    base: Address,
}

impl ReplyAddress {
    /// Checks that every ticket's reply address will fit when `signer` signs it.
    pub fn new(base: Address, signer: &Signer) -> Result<Self, ReplyAddressError> {
        if base.tag().is_some() {
            return Err(ReplyAddressError::HasTag);
        }
        let token = signer.sign(REPLY_PURPOSE, &[]).len();
        let needed = base.local().len() + "+t.".len() + ID_LENGTH + ".".len() + token;
        match needed.checked_sub(LOCAL_PART_MAX) {
            None | Some(0) => Ok(Self { base }),
            Some(over) => Err(ReplyAddressError::TooLong { over }),
        }
    }

    /// The address that answers `ticket`.
    #[must_use]
    pub fn for_ticket(&self, ticket: TicketId, signer: &Signer) -> String {
        let token = signer.sign(REPLY_PURPOSE, ticket.as_uuid().as_bytes());
        let local = self.base.local();
        format!(
            "{local}+t.{}.{token}@{}",
            uuid_to_base32(ticket.as_uuid()),
            self.base.domain()
        )
    }
}

/// The ticket that a reply address names, if its signature holds. Only the tag is looked at: whether the address is
/// one of ours was decided when the mail was accepted.
#[must_use]
pub fn ticket_of_address(address: &Address, signer: &Signer) -> Option<TicketId> {
    let rest = strip_prefix_ignoring_case(address.tag()?, "t.")?;
    let (id, token) = rest.split_once('.')?;
    let ticket = exact_uuid(id)?;
    signer
        .verify(REPLY_PURPOSE, ticket.as_bytes(), token)
        .then_some(TicketId::from_uuid(ticket))
}

/// What a Message-ID of ours names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnMessage {
    /// The message that was sent.
    pub message: MessageId,
    /// Its ticket.
    pub ticket: TicketId,
}

/// The Message-ID of an outgoing message, without angle brackets. The same on every try, so that a mail that was sent
/// twice after a lost answer is one mail for whoever gets it.
#[must_use]
pub fn message_id_for(
    message: MessageId,
    ticket: TicketId,
    domain: &str,
    signer: &Signer,
) -> String {
    let token = signer.sign(MESSAGE_PURPOSE, &message_payload(message, ticket));
    format!(
        "m.{}.{}.{token}@{domain}",
        uuid_to_base32(message.as_uuid()),
        uuid_to_base32(ticket.as_uuid())
    )
}

/// The message and ticket that a Message-ID (without brackets) names, if we signed it.
#[must_use]
pub fn own_message(id: &str, signer: &Signer) -> Option<OwnMessage> {
    let (local, _) = id.split_once('@')?;
    let rest = strip_prefix_ignoring_case(local, "m.")?;
    let (message, rest) = rest.split_once('.')?;
    let (ticket, token) = rest.split_once('.')?;
    let own = OwnMessage {
        message: MessageId::from_uuid(exact_uuid(message)?),
        ticket: TicketId::from_uuid(exact_uuid(ticket)?),
    };
    signer
        .verify(
            MESSAGE_PURPOSE,
            &message_payload(own.message, own.ticket),
            token,
        )
        .then_some(own)
}

fn message_payload(message: MessageId, ticket: TicketId) -> [u8; 32] {
    let mut payload = [0; 32];
    payload[..16].copy_from_slice(message.as_uuid().as_bytes());
    payload[16..].copy_from_slice(ticket.as_uuid().as_bytes());
    payload
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

/// A UUID of exactly 26 characters: a second spelling of the same id would be a second address of the same ticket.
fn exact_uuid(text: &str) -> Option<uuid::Uuid> {
    let id = if text.len() == ID_LENGTH {
        uuid_from_base32(text)?
    } else {
        return None;
    };
    uuid_to_base32(id).eq_ignore_ascii_case(text).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn signer(key_id: &str) -> Signer {
        Signer::new([(key_id.to_owned(), vec![7; 32])]).unwrap()
    }

    fn base(text: &str, signer: &Signer) -> Result<ReplyAddress, ReplyAddressError> {
        ReplyAddress::new(Address::parse(text).unwrap(), signer)
    }

    const TICKET: TicketId =
        TicketId::from_uuid(Uuid::from_u128(0x0192_f0c1_2e5a_7c3e_9d42_0a1b_2c3d_4e5f));
    const MESSAGE: MessageId = MessageId::from_uuid(Uuid::from_u128(u128::MAX));

    #[test]
    fn the_longest_legal_name_makes_exactly_64_octets() {
        let (long, short) = (signer("abcd"), signer("a"));
        for (signer, local) in [(&long, "a".repeat(13)), (&short, "a".repeat(16))] {
            let reply = base(&format!("{local}@d.example"), signer)
                .unwrap()
                .for_ticket(TICKET, signer);
            assert_eq!(reply.split_once('@').unwrap().0.len(), LOCAL_PART_MAX);
            assert_eq!(
                ticket_of_address(&Address::parse(&reply).unwrap(), signer),
                Some(TICKET)
            );
        }
        let error = base("customer-services@d.example", &long).unwrap_err();
        assert_eq!(error, ReplyAddressError::TooLong { over: 4 });
        assert_eq!(
            base("a+b@d.example", &long).unwrap_err(),
            ReplyAddressError::HasTag
        );
    }

    #[test]
    fn case_and_rotation_do_not_matter_but_the_key_does() {
        let old = signer("old");
        let address = base("support@desk.example", &old)
            .unwrap()
            .for_ticket(TICKET, &old);
        let shouted = Address::parse(&address.to_uppercase()).unwrap();
        let rotated = Signer::new([
            ("new".to_owned(), vec![8; 32]),
            ("old".to_owned(), vec![7; 32]),
        ])
        .unwrap();
        assert_eq!(ticket_of_address(&shouted, &rotated), Some(TICKET));
        let foreign = Signer::new([("old".to_owned(), vec![9; 32])]).unwrap();
        assert_eq!(ticket_of_address(&shouted, &foreign), None);
    }

    #[test]
    fn message_ids_name_message_and_ticket() {
        let signer = signer("a");
        let id = message_id_for(MESSAGE, TICKET, "desk.example", &signer);
        assert_eq!(
            own_message(&id, &signer),
            Some(OwnMessage {
                message: MESSAGE,
                ticket: TICKET
            })
        );
        assert_eq!(id, message_id_for(MESSAGE, TICKET, "desk.example", &signer));
        let swapped = id.replacen(
            &uuid_to_base32(TICKET.as_uuid()),
            &uuid_to_base32(Uuid::nil()),
            1,
        );
        assert_eq!(own_message(&swapped, &signer), None);
    }

    proptest! {
        #[test]
        fn foreign_text_never_verifies(tag in "[a-z0-9.+]{0,60}", id in "\\PC{0,90}") {
            let signer = signer("a");
            if let Ok(address) = Address::parse(&format!("support+{tag}@desk.example")) {
                prop_assert_eq!(ticket_of_address(&address, &signer), None);
            }
            prop_assert_eq!(own_message(&id, &signer), None);
            prop_assert_eq!(own_message(&format!("m.{id}@x"), &signer), None);
        }

        #[test]
        fn one_changed_character_breaks_it(bytes in any::<[u8; 16]>(), at in 0_usize..48) {
            let signer = signer("a");
            let ticket = TicketId::from_uuid(Uuid::from_bytes(bytes));
            let address = base("s@d.example", &signer).unwrap().for_ticket(ticket, &signer);
            let at = 4 + at % (address.find('@').unwrap() - 4);
            let mut changed = address.clone().into_bytes();
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            let changed = Address::parse(std::str::from_utf8(&changed).unwrap()).unwrap();
            prop_assert_eq!(ticket_of_address(&changed, &signer), None);
        }
    }
}
