//! Rules that restrict tickets: threats, matters of staff, whatever only some people may see.
//!
//! Such a rule must hold before anybody sees the ticket. So it is no decision of the router, which hears of a ticket when
//! that is there already: the ticket service asks these rules in the transaction that opens the ticket, and a router that
//! is away changes nothing. The router still owns them, as all rules: it checks them, keeps their versions, shows what they
//! would do, and puts what is in force into one table that both read ([`put`]). Asked for over the network instead, they
//! would either let tickets wait or let them be seen while nobody answers.
//!
//! They are asked again in the transactions of later messages of the customer and of changes of what they look at.
//!
//! A rule only ever restricts. What is restricted already stays as it is, and nothing that changes later lifts it.

mod kept;
mod question;

pub use kept::{Kept, MAX_RULES, all, put, remove};
pub use question::{Question, SCHEMA, Text, first};

use jiff::tz::TimeZone;
use solmu_conditions::Checked;
use solmu_domain::ticket::Priority;
use uuid::Uuid;

/// A rule in force.
#[derive(Debug, Clone)]
pub struct Restricting {
    /// Its id.
    pub id: Uuid,
    /// Grows with each change.
    pub version: i64,
    /// What people call it.
    pub name: String,
    /// When it holds.
    pub condition: Checked,
    /// Of its hour and weekday.
    pub zone: TimeZone,
    /// What the ticket becomes, if it is less urgent.
    pub priority: Option<Priority>,
    /// Tags that the ticket gets.
    pub tags: Vec<String>,
    /// Whose ticket it is.
    pub team: Uuid,
    /// Agents whom it names.
    pub agents: Vec<Uuid>,
    /// Teams that it names; its own is one of them.
    pub teams: Vec<Uuid>,
}
