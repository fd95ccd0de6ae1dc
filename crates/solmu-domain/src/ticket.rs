//! The life of a ticket: statuses, the one table of legal moves, and what a message does to it.

use std::{fmt, str::FromStr};

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nobody has looked at it.
    New,
    /// In work.
    Open,
    /// We asked the customer.
    WaitingOnCustomer,
    /// The customer answered.
    CustomerReplied,
    /// Somebody else has to act.
    WaitingOnThirdParty,
    /// Answered; a reply reopens it.
    Resolved,
    /// Over; a reply opens a new ticket that is linked to it.
    Closed,
}

/// A move that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a ticket cannot go from '{from}' to '{to}'")]
pub struct IllegalMove {
    /// Where it stands.
    pub from: Status,
    /// Where it was to go.
    pub to: Status,
}

/// A name that is no status or priority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} '{name}'")]
pub struct UnknownName {
    kind: &'static str,
    name: String,
}

/// What a customer's message does to the ticket that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyEffect {
    /// It joins; the status becomes this one (perhaps the same).
    Join(Status),
    /// It opens a new ticket, linked to the closed one.
    OpenLinked,
}

impl Status {
    /// Every status, in order of life.
    pub const ALL: [Self; 7] = [
        Self::New,
        Self::Open,
        Self::WaitingOnCustomer,
        Self::CustomerReplied,
        Self::WaitingOnThirdParty,
        Self::Resolved,
        Self::Closed,
    ];

    /// The table of moves that people and services may make. Closed is final: a closed ticket keeps its SLA figures.
    pub fn move_to(self, to: Self) -> Result<Self, IllegalMove> {
        use Status::{
            Closed, CustomerReplied, New, Open, Resolved, WaitingOnCustomer, WaitingOnThirdParty,
        };
        let legal = match self {
            New | Open | WaitingOnCustomer | CustomerReplied | WaitingOnThirdParty => {
                to != New || self == New
            }
            Resolved => matches!(
                to,
                Resolved | Open | Closed | WaitingOnCustomer | WaitingOnThirdParty
            ),
            Closed => to == Closed,
        };
        if legal {
            Ok(to)
        } else {
            Err(IllegalMove { from: self, to })
        }
    }

    /// What a reply by the customer does. `human` is false for mail of an automatic class, which never reopens.
    #[must_use]
    pub fn customer_replied(self, human: bool) -> ReplyEffect {
        match self {
            Self::Closed if human => ReplyEffect::OpenLinked,
            _ if !human => ReplyEffect::Join(self),
            Self::New => ReplyEffect::Join(Self::New),
            Self::Open
            | Self::WaitingOnCustomer
            | Self::CustomerReplied
            | Self::WaitingOnThirdParty
            | Self::Resolved
            | Self::Closed => ReplyEffect::Join(Self::CustomerReplied),
        }
    }

    /// Whether somebody has to own it: what the router works on.
    #[must_use]
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Resolved | Self::Closed)
    }

    /// Stable name, as stored and as in filters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Open => "open",
            Self::WaitingOnCustomer => "waiting_on_customer",
            Self::CustomerReplied => "customer_replied",
            Self::WaitingOnThirdParty => "waiting_on_third_party",
            Self::Resolved => "resolved",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Status {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.name() == name)
            .ok_or_else(|| UnknownName {
                kind: "status",
                name: name.to_owned(),
            })
    }
}

/// How urgent a ticket is. Ordered: later is more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Can wait.
    Low,
    /// As most.
    Normal,
    /// Before most.
    High,
    /// Now.
    Urgent,
}

impl Priority {
    /// Every priority, least urgent first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Urgent];

    /// Stable name, as stored and as in filters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Priority {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|priority| priority.name() == name)
            .ok_or_else(|| UnknownName {
                kind: "priority",
                name: name.to_owned(),
            })
    }
}

/// Class of a message that perhaps no human wrote (RFC 3834, RFC 3464, RFC 8098).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AutomaticClass {
    /// Somebody wrote it.
    Human,
    /// A shop order, a form notification, monitoring.
    AutoGenerated,
    /// A responder answered us.
    AutoReply,
    /// A vacation responder answered us.
    OutOfOffice,
    /// The address does not exist.
    BounceHard,
    /// The mail did not arrive this time.
    BounceSoft,
    /// The mail is late.
    Delay,
    /// Mailing list.
    List,
    /// Our own mail came back.
    Own,
    /// Read receipt, abuse report.
    Report,
}

impl AutomaticClass {
    /// Whether a message of this class that answers nothing known opens a ticket. The rest wait in the quarantine.
    #[must_use]
    pub const fn opens_ticket(self) -> bool {
        matches!(self, Self::Human | Self::AutoGenerated | Self::List)
    }

    /// Whether a person wrote it: only such messages reopen tickets and count as a customer's reply.
    #[must_use]
    pub const fn is_human(self) -> bool {
        matches!(self, Self::Human)
    }

    /// Stable name, as stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::AutoGenerated => "auto_generated",
            Self::AutoReply => "auto_reply",
            Self::OutOfOffice => "out_of_office",
            Self::BounceHard => "bounce_hard",
            Self::BounceSoft => "bounce_soft",
            Self::Delay => "delay",
            Self::List => "list",
            Self::Own => "own",
            Self::Report => "report",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reply_reopens_resolved_and_leaves_closed() {
        assert_eq!(
            Status::Resolved.customer_replied(true),
            ReplyEffect::Join(Status::CustomerReplied)
        );
        assert_eq!(
            Status::Closed.customer_replied(true),
            ReplyEffect::OpenLinked
        );
        assert_eq!(
            Status::New.customer_replied(true),
            ReplyEffect::Join(Status::New)
        );
    }

    #[test]
    fn automatic_mail_never_reopens() {
        for status in Status::ALL {
            assert_eq!(status.customer_replied(false), ReplyEffect::Join(status));
        }
    }

    #[test]
    fn closed_is_final_and_new_is_never_entered_again() {
        for status in Status::ALL {
            assert_eq!(
                Status::Closed.move_to(status).is_ok(),
                status == Status::Closed
            );
            assert_eq!(status.move_to(Status::New).is_ok(), status == Status::New);
        }
    }

    #[test]
    fn names_round_trip() {
        for status in Status::ALL {
            assert_eq!(status.name().parse::<Status>(), Ok(status));
        }
        for priority in Priority::ALL {
            assert_eq!(priority.name().parse::<Priority>(), Ok(priority));
        }
        assert_eq!(
            "nwe".parse::<Status>().unwrap_err().to_string(),
            "unknown status 'nwe'"
        );
    }

    proptest! {
        #[test]
        fn any_walk_of_legal_moves_ends_in_a_status_that_can_close(
            walk in proptest::collection::vec(0_usize..7, 0..30)
        ) {
            let mut status = Status::New;
            for step in walk {
                if let Ok(next) = status.move_to(Status::ALL[step]) {
                    status = next;
                }
            }
            prop_assert!(status.move_to(Status::Closed).is_ok());
        }
    }
}
