//! What of a ticket is shown to people outside, wherever that is: on the page of a link, and in a portal.
//!
//! One place, so that nothing can be hidden here and shown there. Who may look at all is decided before, differently for
//! each.

use jiff::Timestamp;
use solmu_domain::ticket::Status;
use solmu_proto::types::v1::actor::Kind;

/// The condition on rows of `tickets.message`, named `message`, that anybody outside may see: public, of no side
/// conversation, and not what a customer's machine wrote, which may name anybody.
#[macro_export]
macro_rules! public_message {
    () => {
        "message.public AND message.side_conversation_id IS NULL
            AND (message.author_kind <> 1 OR message.automatic_class IN (0, 1))"
    };
}

/// What is going on within the desk is one state to people outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has looked at it.
    Received,
    /// Somebody has to do something, and it is not the requester.
    InProgress,
    /// The requester was asked.
    WaitingForRequester,
    /// Answered.
    Resolved,
    /// Over.
    Closed,
}

impl Stage {
    /// What somebody outside is told of a status.
    #[must_use]
    pub const fn of(status: Status) -> Self {
        match status {
            Status::New => Self::Received,
            Status::Open | Status::CustomerReplied | Status::WaitingOnThirdParty => {
                Self::InProgress
            }
            Status::WaitingOnCustomer => Self::WaitingForRequester,
            Status::Resolved => Self::Resolved,
            Status::Closed => Self::Closed,
        }
    }
}

/// A public message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What kind of author.
    pub author: Kind,
    /// What they are called; may be an address.
    pub author_name: String,
    /// The requester wrote it.
    pub own: bool,
    /// All of it, with what it quotes.
    pub text: String,
    /// Where quoting begins, in characters.
    pub quote_offset: Option<i32>,
    /// Where the signature begins, in characters.
    pub signature_offset: Option<i32>,
    /// How many files it has.
    pub files: i32,
    /// When it was filed.
    pub at: Timestamp,
}

/// Who wrote a message, as far as people outside are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author<'a> {
    /// The requester.
    Requester,
    /// Somebody outside of the desk, by name if they have one.
    Participant(Option<&'a str>),
    /// Somebody of the desk, by name if they have one.
    Desk(Option<&'a str>),
}

impl Message {
    /// Who wrote it, by a name: never by an address or a number.
    #[must_use]
    pub fn author(&self) -> Author<'_> {
        if self.own {
            return Author::Requester;
        }
        let name = self.author_name.trim();
        let name = Some(name).filter(|it| it.contains(char::is_alphabetic) && !it.contains('@'));
        if self.author == Kind::Customer {
            Author::Participant(name)
        } else {
            Author::Desk(name)
        }
    }

    /// What was written anew: what is quoted names others, and the reader has it above.
    #[must_use]
    pub fn visible(&self) -> String {
        let ends = [self.quote_offset, self.signature_offset];
        let end = ends.into_iter().flatten().min();
        let end = end.and_then(|end| usize::try_from(end).ok());
        let text: String = self.text.chars().take(end.unwrap_or(usize::MAX)).collect();
        text.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use solmu_proto::types::v1::AutomaticClass;

    use super::*;

    #[test]
    fn the_codes_in_the_condition_are_those_of_the_enums() {
        assert_eq!(i32::from(Kind::Customer), 1);
        let human = [AutomaticClass::Unspecified, AutomaticClass::Human];
        assert_eq!(human.map(i32::from), [0, 1]);
    }

    #[test]
    fn authors_are_named_and_never_addressed() {
        let by = |author, own, name: &str| Message {
            author,
            author_name: name.to_owned(),
            own,
            text: "new -- old".to_owned(),
            quote_offset: Some(7),
            signature_offset: Some(4),
            files: 0,
            at: Timestamp::UNIX_EPOCH,
        };
        let me = by(Kind::Customer, true, "Aino");
        assert_eq!(me.author(), Author::Requester);
        assert_eq!(me.visible(), "new");
        let other = by(Kind::Customer, false, "b@c.example");
        assert_eq!(other.author(), Author::Participant(None));
        let number = by(Kind::Customer, false, "+358401112223");
        assert_eq!(number.author(), Author::Participant(None));
        let agent = by(Kind::Agent, false, " Kaisa ");
        assert_eq!(agent.author(), Author::Desk(Some("Kaisa")));
    }
}
