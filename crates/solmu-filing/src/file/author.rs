//! Who wrote a message, and how far that is certain.
//!
//! A mail whose sender failed the checks of their own domain may be forged. It never acts as the person that it names:
//! its identity is one of its own, apart from the real one, and nothing but our signature puts it on a ticket.

use solmu_proto::{
    inbound::v1::{MessageReceived, Sender, authenticity::Verdict},
    types::v1::{Assurance, Channel, Identity},
};

use super::words::sender_address;

/// Scope of the identity of a sender whose checks failed.
const FAILED_SCOPE: &str = "failed-checks";
/// What stands before the address of such a sender where parties of tickets are kept.
const FAILED_PREFIX: &str = "failed:";
/// Addresses that a mail was copied to and that may answer it, at most. Nobody invites more people than that by hand.
const MAX_COPIED: usize = 50;
/// Longest address of theirs, in bytes: more is no address (RFC 5321, 4.5.3.1), and an index entry has its limit.
const MAX_ADDRESS: usize = 320;

/// The author of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Author {
    /// What an answer goes to, normalised; empty if there is none.
    pub(crate) address: String,
    pub(crate) standing: Standing,
}

/// How far an author is who they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Checked, and so it is.
    Verified,
    /// Nothing says that they are not.
    Claimed,
    /// The checks of their domain say that they are not.
    Failed,
}

impl Author {
    /// The author of `message`.
    pub(crate) fn of(message: &MessageReceived) -> Self {
        Self {
            address: sender_address(message),
            standing: standing(message),
        }
    }

    pub(crate) fn failed(&self) -> bool {
        self.standing == Standing::Failed
    }

    /// As whom they take part in a ticket.
    pub(crate) fn participant(&self) -> String {
        if self.failed() {
            format!("{FAILED_PREFIX}{}", self.address)
        } else {
            self.address.clone()
        }
    }

    /// With whom they take part: the people of one company are one party.
    pub(crate) fn party(&self, public_domains: &[String]) -> String {
        party_of(&self.participant(), public_domains)
    }
}

/// The party of a participant: "@domain" of a company, else the address itself.
pub(crate) fn party_of(participant: &str, public_domains: &[String]) -> String {
    match domain_of(participant) {
        Some(domain)
            if !participant.starts_with(FAILED_PREFIX)
                && !public_domains.iter().any(|public| public == domain) =>
        {
            format!("@{domain}")
        }
        _ => participant.to_owned(),
    }
}

/// What stands after the at sign.
pub(crate) fn domain_of(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

fn standing(message: &MessageReceived) -> Standing {
    let verdict = message
        .authenticity
        .as_ref()
        .map(solmu_proto::inbound::v1::Authenticity::verdict);
    match verdict {
        // A list that names the author in a header of its own proves itself and not them.
        Some(Verdict::Verified)
            if message.channel() == Channel::Email
                && crate::agent_mail::proven_address(message).is_none() =>
        {
            Standing::Claimed
        }
        Some(Verdict::Verified) => Standing::Verified,
        Some(Verdict::Failed) if message.channel() == Channel::Email => Standing::Failed,
        _ => Standing::Claimed,
    }
}

/// The sender as contacts know them: one whose checks failed is not the person of that address.
pub(crate) fn sender_of(message: &MessageReceived) -> Sender {
    let mut sender = message.sender.clone().unwrap_or_default();
    if standing(message) == Standing::Failed {
        for identity in &mut sender.identities {
            set_apart(identity);
        }
    }
    sender
}

fn set_apart(identity: &mut Identity) {
    FAILED_SCOPE.clone_into(&mut identity.scope);
    identity.assurance = Assurance::Weak.into();
}

/// Who got a mail besides us: the addresses of To and Cc that are neither the author's nor where it was delivered.
pub(crate) fn copied_of<'a>(
    message: &'a MessageReceived,
    author: &'a Author,
) -> impl Iterator<Item = String> + 'a {
    let is_mail = message.channel() == Channel::Email;
    message
        .to
        .iter()
        .chain(&message.cc)
        .filter(move |_| is_mail)
        .take(MAX_COPIED)
        .map(|mailbox| mailbox.address.trim().to_lowercase())
        .filter(|address| {
            domain_of(address).is_some()
                && address.len() <= MAX_ADDRESS
                && *address != author.address
                && !message.delivered_to.contains(address)
        })
}

#[cfg(test)]
mod tests {
    use solmu_proto::{
        inbound::v1::Authenticity,
        types::v1::{IdentityKind, Mailbox},
    };

    use super::*;
    use crate::recipient::as_recipient;

    fn mail(verdict: Verdict) -> MessageReceived {
        MessageReceived {
            channel: Channel::Email.into(),
            sender: Some(Sender {
                identities: vec![Identity {
                    kind: IdentityKind::Email.into(),
                    value: "a@x.fi".to_owned(),
                    assurance: Assurance::Claimed.into(),
                    ..Identity::default()
                }],
                ..Sender::default()
            }),
            authenticity: Some(Authenticity {
                verdict: verdict.into(),
                ..Authenticity::default()
            }),
            ..MessageReceived::default()
        }
    }

    #[test]
    fn a_company_is_one_party_and_a_failed_sender_is_alone() {
        let public = ["gmail.com".to_owned()];
        let party = |verdict| Author::of(&mail(verdict)).party(&public);
        assert_eq!(party(Verdict::Verified), "@x.fi");
        assert_eq!(party(Verdict::Unverified), "@x.fi");
        assert_eq!(party(Verdict::Failed), "failed:a@x.fi");
        assert_eq!(party_of("a@gmail.com", &public), "a@gmail.com");
        assert_eq!(party_of("session-7", &public), "session-7");
    }

    #[test]
    fn a_failed_sender_has_an_identity_of_their_own() {
        assert_eq!(
            sender_of(&mail(Verdict::Unverified)).identities[0].scope,
            ""
        );
        let failed = sender_of(&mail(Verdict::Failed));
        assert_eq!(failed.identities[0].scope, FAILED_SCOPE);
        assert_eq!(as_recipient(failed.identities[0].clone()).scope, "");
    }

    #[test]
    fn copied_are_the_others() {
        let mailbox = |address: &str| Mailbox {
            address: address.to_owned(),
            ..Mailbox::default()
        };
        let message = MessageReceived {
            to: vec![mailbox("support@us.fi"), mailbox(" B@x.fi ")],
            cc: vec![mailbox("a@x.fi"), mailbox("broken"), mailbox("c@y.fi")],
            delivered_to: vec!["support@us.fi".to_owned()],
            ..mail(Verdict::Unverified)
        };
        let author = Author::of(&message);
        let copied: Vec<_> = copied_of(&message, &author).collect();
        assert_eq!(copied, ["b@x.fi", "c@y.fi"]);
    }
}
