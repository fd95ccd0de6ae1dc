//! What the conditions of policies may look at, declared here and nowhere else.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::{Deserialize, Serialize};
use solmu_conditions::{Fact, Facts, Field, FieldType, Schema, value_of, values_by_key};
use solmu_domain::ticket::Priority;
use solmu_inquiry::{OwnFields, Owns, with_own_fields};
use solmu_proto::{
    ticket::v1::TicketState,
    types::v1::{self as types, Channel},
};
use uuid::Uuid;

/// Channels that a condition may name.
const CHANNELS: [&str; 5] = ["email", "chat", "form", "whatsapp", "telegram"];

/// The fields of a policy's condition.
pub(crate) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    with_own_fields(Schema::new())
        .with(Field::one_of("channel", CHANNELS))
        .with(Field::new("account", FieldType::Keyword))
        .with(Field::new("recipient", FieldType::Text))
        .with(Field::ordered(
            "priority",
            Priority::ALL.map(Priority::name),
        ))
        .with(Field::new("tags", FieldType::TextSet))
        .with(Field::new("language", FieldType::Keyword))
        .with(Field::new("team", FieldType::Id))
        .with(Field::new("contact", FieldType::Id))
        .with(Field::new("category", FieldType::Text))
        .with(Field::new("organizations", FieldType::TextSet))
        .with(Field::new("fields", FieldType::ValueMap))
});

/// A ticket as policies see it: when it is opened, and after each change of what they look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TicketFacts {
    pub(crate) channel: String,
    pub(crate) account: String,
    pub(crate) recipient: String,
    pub(crate) priority: String,
    pub(crate) tags: Vec<String>,
    pub(crate) language: String,
    pub(crate) team: Option<Uuid>,
    pub(crate) contact: Option<Uuid>,
    pub(crate) category: String,
    /// Ids as texts.
    pub(crate) organizations: Vec<String>,
    /// Custom fields by key in lower case.
    pub(crate) fields: BTreeMap<String, Vec<String>>,
    /// Fields of the contact and its organisations: asked for when a policy looks at them, and never stored.
    #[serde(skip)]
    pub(crate) own: OwnFields,
}

impl TicketFacts {
    /// Takes what it needs out of an event.
    pub(crate) fn of(state: TicketState) -> Self {
        Self {
            channel: channel_name(state.channel()).to_owned(),
            priority: priority_name(state.priority()).to_owned(),
            team: state.team_id.parse().ok(),
            contact: state.contact_id.parse().ok(),
            account: state.account,
            recipient: state.recipient,
            tags: state.tags,
            language: state.language,
            category: state.category,
            organizations: state.organization_ids,
            fields: values_by_key(
                state
                    .fields
                    .into_iter()
                    .map(|field| (field.key, field.values)),
            ),
            own: OwnFields::default(),
        }
    }
}

impl TicketFacts {
    /// Ids of the organisations.
    pub(crate) fn organizations(&self) -> impl Iterator<Item = Uuid> {
        let ids = self.organizations.iter();
        ids.filter_map(|text| Uuid::parse_str(text).ok())
    }

    /// Takes what it needs of what was asked about contacts and organisations.
    pub(crate) fn see(&mut self, owns: &Owns) {
        let organizations = self.organizations.iter().map(String::as_str);
        self.own = owns.of(self.contact, organizations);
    }

    /// What of it may be kept.
    pub(crate) fn to_keep(&self) -> Box<Self> {
        Box::new(Self {
            own: OwnFields::default(),
            ..self.clone()
        })
    }

    /// The same without what may be personal.
    pub(crate) fn erase(&mut self) {
        self.fields.clear();
        self.own = OwnFields::default();
    }
}

impl Facts for TicketFacts {
    fn get(&self, field: &str) -> Option<Fact<'_>> {
        let text = match field {
            "tags" => return Some(self.tags.as_slice().into()),
            "team" => return self.team.map(Fact::from),
            "contact" => return self.contact.map(Fact::from),
            "organizations" => return Some(self.organizations.as_slice().into()),
            "category" => self.category.as_str(),
            "channel" => self.channel.as_str(),
            "priority" => self.priority.as_str(),
            "account" => self.account.as_str(),
            "recipient" => self.recipient.as_str(),
            "language" => self.language.as_str(),
            _ => {
                return match field.strip_prefix("fields.") {
                    Some(key) => value_of(&self.fields, key),
                    None => self.own.get(field),
                };
            }
        };
        (!text.is_empty()).then(|| text.into())
    }
}

/// The name of a priority in policies. One that is not given is normal.
pub(crate) const fn priority_name(priority: types::Priority) -> &'static str {
    match priority {
        types::Priority::Low => Priority::Low.name(),
        types::Priority::Normal | types::Priority::Unspecified => Priority::Normal.name(),
        types::Priority::High => Priority::High.name(),
        types::Priority::Urgent => Priority::Urgent.name(),
    }
}

const fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Unspecified => "",
        Channel::Email => "email",
        Channel::Chat => "chat",
        Channel::Form => "form",
        Channel::Whatsapp => "whatsapp",
        Channel::Telegram => "telegram",
    }
}

#[cfg(test)]
mod tests {
    use solmu_conditions::parse;
    use solmu_proto::ticket::v1::FieldValue;

    use super::*;

    fn holds(condition: &str) -> bool {
        let facts = TicketFacts::of(TicketState {
            channel: Channel::Whatsapp.into(),
            priority: types::Priority::High.into(),
            account: "main".to_owned(),
            tags: vec!["vip".to_owned()],
            language: "fi".to_owned(),
            team_id: "0198c5d2-7a10-7bb2-8e4f-0242ac120002".to_owned(),
            contact_id: "0198c5d2-7a10-7bb2-8e4f-0242ac120003".to_owned(),
            category: "billing/refund".to_owned(),
            organization_ids: vec!["0198c5d2-7a10-7bb2-8e4f-0242ac120004".to_owned()],
            fields: vec![
                field("tier", &["Gold"]),
                field("products", &["a", "b"]),
                field("seats", &["250"]),
            ],
            ..TicketState::default()
        });
        parse(condition, &SCHEMA).unwrap().evaluate(&facts)
    }

    #[test]
    fn conditions_see_the_ticket() {
        assert!(holds(""));
        assert!(holds(
            "channel = whatsapp AND priority >= high AND tags:vip"
        ));
        assert!(holds(
            "language = fi account = main team = \"0198c5d2-7a10-7bb2-8e4f-0242ac120002\""
        ));
        assert!(holds("contact = \"0198c5d2-7a10-7bb2-8e4f-0242ac120003\""));
        assert!(!holds("channel = email"));
        assert!(!holds("recipient:*"), "nobody wrote to an address");
    }

    fn field(key: &str, values: &[&str]) -> FieldValue {
        FieldValue {
            key: key.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }
    }

    #[test]
    fn conditions_see_category_organisations_and_custom_fields() {
        assert!(holds("category = billing/refund"));
        assert!(holds("category = \"billing/*\" AND NOT category = sales*"));
        assert!(holds(
            "organizations:\"0198c5d2-7a10-7bb2-8e4f-0242ac120004\""
        ));
        assert!(!holds(
            "organizations:\"0198c5d2-7a10-7bb2-8e4f-0242ac120005\""
        ));
        assert!(holds("fields.tier = gold AND NOT fields.region:*"));
        assert!(holds("fields.seats >= 100.5 AND NOT fields.seats > 250"));
        // Any of several values; != asks that none is equal.
        assert!(holds("fields.products = b AND fields.products:*"));
        assert!(holds("fields.products != c AND NOT fields.products != a"));
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(parse("body = x", &SCHEMA).is_err());
    }
}
