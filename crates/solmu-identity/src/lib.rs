//! Who is one person: identifiers made comparable, and two graphs over what is known of senders.
//!
//! What a message says of its sender is a [`Sighting`]: a name, and identifiers with how far each was proven. Two
//! graphs are made of them, because two questions need two answers:
//!
//! - ACCESS (what a requester may see): only identifiers that both sides proved join. A typed address joins nothing.
//! - PROFILE (what agents see as one person): proven identifiers, and claimed ones that pass guards: the names agree,
//!   the value is no placeholder, not shared by many, and no two customer accounts meet.
//!
//! Both are pure functions of the set of sightings. Growing them message by message was rejected: what a guard says
//! then depends on who wrote first, and a wrong early join cannot be found again. What is refused becomes a
//! [`Suggestion`] with its reason, for a person to decide.

mod access;
mod email;
mod groups;
pub mod guard;
mod kind;
mod links;
mod name;
mod phone;
mod profile;
pub mod record;
mod resolve;
mod sighting;
mod union;
mod value;

pub use kind::Kind;
pub use name::Name;
pub use phone::{Region, UnknownRegion};
pub use profile::{Link, Reason, Rule, Suggestion};
pub use resolve::{Limits, Resolution, resolve};
pub use sighting::{Evidence, Sighting};
pub use value::{BadValue, Value, normalise};
