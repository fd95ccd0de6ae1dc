//! `solmu sla`: calendars, policies, the clocks of a ticket, and how many promises were kept.

mod attainment;
mod calendar;
mod contacts;
mod explain;
mod parse;
mod people;
mod policy;
mod set;

use clap::Subcommand;
use solmu_domain::clock::Clock;

pub use attainment::AttainmentArgs;
pub use calendar::{CalendarCommand, PreviewArgs};
pub use contacts::ContactsArgs;
pub use policy::{PolicyCommand, PolicyCreateArgs, PolicyUpdateArgs};
pub use set::SetArgs;

use crate::connect::Session;

/// When tickets must be answered.
#[derive(Debug, Subcommand)]
pub enum SlaCommand {
    /// Business calendars
    #[command(subcommand)]
    Calendar(CalendarCommand),
    /// Policies: what is promised to whom
    #[command(subcommand)]
    Policy(Box<PolicyCommand>),
    /// Who leads a team and whom its leads answer to, for steps that notify them; without a team, list them
    Contacts(ContactsArgs),
    /// Draw the clocks of a ticket, and say how they came to be what they are
    Explain {
        /// Number (#1001) or id
        ticket: String,
    },
    /// How many promises were kept
    Attainment(AttainmentArgs),
}

pub(crate) async fn run(
    session: &Session,
    command: SlaCommand,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    match command {
        SlaCommand::Calendar(command) => calendar::run(session, command).await,
        SlaCommand::Policy(command) => policy::run(session, *command).await,
        SlaCommand::Contacts(arguments) => contacts::run(session, arguments).await,
        SlaCommand::Explain { ticket } => explain::run(session, &ticket, clock).await,
        SlaCommand::Attainment(arguments) => attainment::run(session, &arguments, clock).await,
    }
}
