//! A ticket that waits, and its place in the order of all.

use solmu_domain::{
    ids::{AgentId, TeamId, TicketId},
    ticket::Priority,
};

use crate::{
    Micros,
    person::Location,
    policy::{ChannelPolicy, Policy},
};

/// Whether a skill is insisted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nobody without it, until the ticket has waited so long; never otherwise.
    Required {
        /// After this wait it is only preferred.
        relax_after: Option<Micros>,
    },
    /// Who has it comes first.
    Preferred,
}

/// A skill or a language that a ticket asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Its name.
    pub skill: String,
    /// At least this level.
    pub level: u8,
    /// Whether it is a language: agents of whom no language is known have it.
    pub language: bool,
    /// Whether it is insisted on.
    pub kind: Kind,
}

/// A ticket that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticket {
    /// Which.
    pub id: TicketId,
    /// Whose it is.
    pub team: TeamId,
    /// Where it came from.
    pub channel: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Counts as one priority higher.
    pub vip: bool,
    /// When it came: what its age is counted from.
    pub arrived: Micros,
    /// Since when nobody has it: what patience is counted from.
    pub since: Micros,
    /// When its next deadline is.
    pub due: Option<Micros>,
    /// Skills and languages.
    pub wants: Vec<Want>,
    /// The agent who knows it, or its customer.
    pub former: Option<AgentId>,
    /// Agents who do not get it: they declined.
    pub excluded: Vec<AgentId>,
    /// Where it has to be done.
    pub location: Option<Location>,
}

impl Ticket {
    /// A ticket without any wish.
    #[must_use]
    pub fn plain(id: TicketId, team: TeamId, channel: &str, arrived: Micros) -> Self {
        Self {
            id,
            team,
            channel: channel.to_owned(),
            priority: Priority::Normal,
            vip: false,
            arrived,
            since: arrived,
            due: None,
            wants: Vec::new(),
            former: None,
            excluded: Vec::new(),
            location: None,
        }
    }

    /// Its place in the order of all.
    #[must_use]
    pub fn place(&self, policy: &Policy) -> Place {
        let channel: &ChannelPolicy = policy.channel(&self.channel);
        let rank: i64 = match self.priority {
            Priority::Urgent => 0,
            Priority::High => 1,
            Priority::Normal => 2,
            Priority::Low => 3,
        };
        let rank = (rank - i64::from(self.vip)).max(0);
        let by_age = self
            .arrived
            .saturating_add(channel.age_step.saturating_mul(rank));
        let by_due = self.due.map(|due| due.saturating_sub(policy.risk_lead));
        Place {
            key: by_due.map_or(by_age, |by_due| by_due.min(by_age)),
            arrived: self.arrived,
            ticket: self.id,
        }
    }
}

/// Where a waiting ticket stands: the least is next.
///
/// The key is the instant at which it would have arrived to stand there by age alone: each priority below urgent adds
/// one step, and a deadline that comes near pulls it forward. So nothing is passed by what comes more than three steps
/// later, and nothing starves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// See above.
    pub key: Micros,
    /// The older one among equals.
    pub arrived: Micros,
    /// Then the id.
    pub ticket: TicketId,
}
