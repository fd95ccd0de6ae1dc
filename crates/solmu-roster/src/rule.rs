//! Rules as values: what they may look at, and what they do.
//!
//! The fields that rules may look at are declared here and nowhere else. `words` and `sender` are not in events (they
//! carry no text), nor are fields of the contact and its organisations: a rule that looks at them makes the router ask
//! the ticket service, and only then.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use solmu_conditions::{Checked, Field, FieldType, Schema};
use solmu_domain::{
    ids::{AgentId, TeamId},
    ticket::Priority,
};
use solmu_inquiry::with_own_fields;
use solmu_matching::{Kind, Want};

/// Days of the week as `weekday` names them.
pub const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Fields that only the ticket's text answers.
const TEXT_FIELDS: [&str; 2] = ["words", "sender"];
/// Channels that a rule may name.
pub const CHANNELS: [&str; 5] = ["email", "chat", "form", "whatsapp", "telegram"];

/// What rules may look at. A word without a field is looked for in `words`.
pub static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    with_own_fields(Schema::new())
        .with(Field::one_of("channel", CHANNELS))
        .with(Field::new("account", FieldType::Keyword))
        .with(Field::new("recipient", FieldType::Text))
        .with(Field::new("sender", FieldType::Text))
        .with(Field::new("words", FieldType::Words))
        .with(Field::new("language", FieldType::Keyword))
        .with(Field::new("tags", FieldType::TextSet))
        .with(Field::new("category", FieldType::Text))
        .with(Field::new("organizations", FieldType::TextSet))
        .with(Field::new("fields", FieldType::ValueMap))
        .with(Field::new("country", FieldType::Value))
        .with(Field::new("order_value", FieldType::Value))
        .with(Field::ordered(
            "priority",
            Priority::ALL.map(Priority::name),
        ))
        .with(Field::new("contact", FieldType::Id))
        .with(Field::new("created", FieldType::Timestamp))
        .with(Field::new("hour", FieldType::Integer))
        .with(Field::one_of("weekday", WEEKDAYS))
        .searched_in("words")
});

/// Whether a condition needs the ticket's text.
pub fn needs_text(condition: &Checked) -> bool {
    condition
        .fields()
        .iter()
        .any(|field| TEXT_FIELDS.contains(field))
}

/// Whom a ticket names that a rule restricts, besides the team of the rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restrict {
    /// Agents.
    pub agents: Vec<AgentId>,
    /// Teams.
    pub teams: Vec<TeamId>,
}

/// What a rule does besides choosing a team.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Actions {
    /// Absent only for a rule that lets others go on.
    pub team: Option<TeamId>,
    /// Who gets it, if they can.
    pub agent: Option<AgentId>,
    /// What it changes of the ticket.
    pub effects: Effects,
    /// Skills that it asks for.
    pub wishes: Vec<Wish>,
    /// It makes a ticket one of a very important person.
    pub vip: bool,
    /// Seconds from its creation in which nobody gets it.
    pub hold_s: u32,
    /// Rules behind it are asked too.
    pub goes_on: bool,
    /// The ticket service restricts what it matches and asks it itself (`solmu-restrict`): no part of the rules that the router asks.
    pub restrict: Option<Restrict>,
}

/// What a rule changes besides the team. Kept until the ticket service has done it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    /// The priority, if it is less urgent.
    #[serde(
        default,
        with = "super::priority_name",
        skip_serializing_if = "Option::is_none"
    )]
    pub priority: Option<Priority>,
    /// Tags that are added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl Effects {
    /// Whether it changes nothing.
    pub const fn is_empty(&self) -> bool {
        self.priority.is_none() && self.tags.is_empty()
    }
}

/// A skill that a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Name of the skill.
    pub skill: String,
    /// At least, from 1.
    pub level: u8,
    /// Nobody without it; otherwise who has it comes first.
    pub required: bool,
    /// Seconds after which it is only wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relax_after_s: Option<u32>,
}

impl Wish {
    /// As matching reads it.
    pub fn want(&self) -> Want {
        Want {
            // As those of agents: in small letters.
            skill: self.skill.to_lowercase(),
            level: self.level,
            language: false,
            kind: if self.required {
                Kind::Required {
                    relax_after: self.relax_after_s.map(seconds),
                }
            } else {
                Kind::Preferred
            },
        }
    }
}

fn seconds(count: u32) -> i64 {
    i64::from(count) * solmu_matching::SECOND
}
