//! What only we can sign: reply addresses, Message-IDs, return paths, marks in a text. No change may make another.

use solmu_domain::{
    ids::{MessageId, TicketId},
    signed::Signer,
};
use solmu_email::outgoing::{marker, verp};
use solmu_mime::{
    address::Address,
    reply_address::{ReplyAddress, message_id_for, own_message, ticket_of_address},
};

use super::{Target, desk::signer, way};

/// Tokens, one a line.
#[derive(Debug)]
pub(super) struct SignatureTarget {
    signer: Signer,
    ticket: TicketId,
    message: MessageId,
}

impl Default for SignatureTarget {
    fn default() -> Self {
        Self {
            signer: signer(),
            ticket: "01900000-0000-7000-8000-000000000001"
                .parse()
                .expect("a UUID"),
            message: "01900000-0000-7000-8000-000000000002"
                .parse()
                .expect("a UUID"),
        }
    }
}

impl Target for SignatureTarget {
    fn name(&self) -> &'static str {
        "signatures"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let base = Address::parse("support@desk.example").expect("an address");
        let reply = ReplyAddress::new(base, &self.signer).expect("there is room");
        let others = Signer::new([("a".to_owned(), vec![2; 32])]).expect("id and length are right");
        [&self.signer, &others]
            .into_iter()
            .flat_map(|signer| {
                [
                    reply.for_ticket(self.ticket, signer),
                    message_id_for(self.message, self.ticket, "desk.example", signer),
                    verp::return_path(self.message, "bounces.example", signer),
                    format!("text\n{}\n", marker::mark(self.ticket, signer)),
                ]
            })
            .map(String::into_bytes)
            .collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "@",
            "+",
            ".",
            "<",
            ">",
            "desk.example",
            "bounce+",
            "t.",
            "=",
            "\n",
        ]
    }

    fn longest(&self) -> usize {
        4 * 1024
    }

    fn read(&mut self, input: &[u8]) -> u64 {
        let text = String::from_utf8_lossy(input);
        let mut held = [0_usize; 4];
        let mut lines = 0_usize;
        for line in text.lines().take(32) {
            lines += 1;
            if let Ok(address) = Address::parse(line) {
                if let Some(ticket) = ticket_of_address(&address, &self.signer) {
                    assert_eq!(ticket, self.ticket, "a forged reply address");
                    held[0] += 1;
                }
                if let Some(message) = verp::message_of(&address, &self.signer) {
                    assert_eq!(message, self.message, "a forged return path");
                    held[1] += 1;
                }
            }
            if let Some(own) = own_message(line, &self.signer) {
                assert_eq!(
                    (own.message, own.ticket),
                    (self.message, self.ticket),
                    "a forged Message-ID"
                );
                held[2] += 1;
            }
        }
        for ticket in marker::tickets_in(&text, &self.signer) {
            assert_eq!(ticket, self.ticket, "a forged mark");
            held[3] += 1;
        }
        way((held.map(|count| count.min(2)), super::size_class(lines)))
    }
}
