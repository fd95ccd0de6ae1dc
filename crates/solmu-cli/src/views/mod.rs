//! What `--json` prints: hand-written shapes with stable names, so that a script survives changes of the API's
//! messages. Names are those of the API; times are RFC 3339; enums are their lower-case names.

mod people;
mod tickets;

pub(crate) use people::{AgentView, RuleView, TeamView};
pub use people::{ContactView, undeliverable};
pub(crate) use tickets::{
    ChangeView, ClockView, DecisionView, LinkView, MessageView, TicketDetailView,
};
pub use tickets::{QuarantinedView, TicketView};
