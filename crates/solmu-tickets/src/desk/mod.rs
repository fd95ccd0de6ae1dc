//! What the ticket service lends to the desk, the part of it in the crate `solmu-desk`.
//!
//! The desk makes agents quick (texts, macros, bulk changes, time, the catalogue) and keeps them out of each other's way.
//! Whatever it does to a ticket it does through [`Hands`], so that no rule can be gone around from there: the changes
//! are the ones that people make by hand, in transactions that the desk may put several of them into. Requests and
//! tickets are those of the API; the ticket as it is stored stays in here.
//!
//! Making its modules public one by one was rejected: whatever is public is hard to change again.

mod hands;
mod many;
mod open;

pub use hands::{Hands, Held, Picked};
pub use many::Many;
pub use open::{Opening, Requester};

pub use crate::{
    calls::{PEOPLE, actor_of, checked_request_id, checked_text, seen},
    command::{Content, Writing},
    strangers::{Named, Strangers},
};
