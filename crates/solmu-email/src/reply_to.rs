//! Which addresses of Reply-To an answer may go to, as far as only a mail and our accounts can tell.
//!
//! Whether one of them is followed is the ticket service's to decide, which knows the sender and the ticket. Here go
//! those that nobody should ever answer: addresses of ours (the answer would come back to us), those of mailing lists
//! (it would go to everybody on it), and those where nobody reads.

use solmu_proto::inbound::v1::MessageReceived;

use crate::accounts::Accounts;
use solmu_mime::{address::Address, mail::ParsedMail};

/// What stands before the at sign where no person reads.
const NOBODY: [&str; 12] = [
    "mailer-daemon",
    "postmaster",
    "no-reply",
    "noreply",
    "no_reply",
    "do-not-reply",
    "do_not_reply",
    "donotreply",
    "ei-vastausta",
    "bounce",
    "bounces",
    "abuse",
];
/// Fields of mailing lists (RFC 2369, RFC 2919).
const LIST_FIELDS: [&str; 2] = ["list-id", "list-post"];

/// Leaves in `message` those that may be answered.
pub(crate) fn retain(message: &mut MessageReceived, mail: &ParsedMail, accounts: &Accounts) {
    let is_list = LIST_FIELDS.iter().any(|name| mail.fields.has(name));
    message.reply_to.retain(|mailbox| {
        let Ok(address) = Address::parse(&mailbox.address) else {
            return false;
        };
        let local = address.local().to_lowercase();
        let base = local.split('+').next().unwrap_or_default();
        !is_list && !NOBODY.contains(&base) && !accounts.is_own(&address)
    });
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::{config::Config, receive::Incoming, testing::bench};
    use solmu_mime::address::Address;

    #[tokio::test]
    async fn what_may_be_answered() {
        let bench = bench(&Config::default());
        for (head, wanted) in [
            ("Reply-To: Aino <aino@home.example>", "aino@home.example"),
            ("Reply-To: support@desk.example, a@c.example", "a@c.example"),
            ("Reply-To: support+t.x@desk.example", ""),
            ("Reply-To: NoReply+7@shop.example", ""),
            ("Reply-To: a@c.example\nList-Id: <news.c.example>", ""),
            ("Reply-To: nobody", ""),
        ] {
            let raw = format!("From: a@b.example\n{head}\nSubject: s\n\nx\n");
            let incoming = Incoming {
                raw: Bytes::from(raw.replace('\n', "\r\n")),
                mail_from: Some("a@b.example".to_owned()),
                recipients: vec![Address::parse("support@desk.example").unwrap()],
                fallback: None,
                own_hops: 0,
                connection: None,
            };
            bench.receiver.receive(incoming).await.unwrap();
            let message = bench.desk.messages().pop().unwrap();
            let found: Vec<&str> = message
                .reply_to
                .iter()
                .map(|mailbox| mailbox.address.as_str())
                .collect();
            assert_eq!(found.join(","), wanted, "{head}");
        }
    }
}
