//! What a rule that restricts may look at: the ticket as it is opened, and the words of its first message.
//!
//! These are fields of all rules of the router, without those that have to be asked of others.

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock};

use jiff::{Timestamp, tz::TimeZone};
use solmu_conditions::{Fact, Facts, Field, FieldType, Schema, SearchText, value_of};
use solmu_domain::ticket::Priority;
use uuid::Uuid;

use crate::Restricting;

/// Channels that a rule may name.
const CHANNELS: [&str; 5] = ["email", "chat", "form", "whatsapp", "telegram"];
/// Days of the week as `weekday` names them.
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Keys of the custom fields that have a name of their own.
const COUNTRY: &str = "country";
const ORDER_VALUE: &str = "order_value";

/// What these rules may look at. A word without a field is looked for in `words`.
pub static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    Schema::new()
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
        .with(Field::new(COUNTRY, FieldType::Value))
        .with(Field::new(ORDER_VALUE, FieldType::Value))
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

/// The words of a ticket's first message and who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    words: SearchText,
    sender: String,
}

impl Text {
    /// Reads a message.
    #[must_use]
    pub fn new(subject: &str, text: &str, sender: &str) -> Self {
        Self {
            words: SearchText::new(&format!("{subject}\n{text}")),
            sender: sender.to_owned(),
        }
    }
}

/// A ticket that is being opened, as rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// `email`, `chat`, `form`, `whatsapp` or `telegram`.
    pub channel: &'a str,
    /// Our account on it.
    pub account: &'a str,
    /// Our address that the message came to.
    pub recipient: &'a str,
    /// Guessed, such as `fi`; empty: unknown.
    pub language: &'a str,
    /// Tags that it has already.
    pub tags: &'a [String],
    /// Such as `billing/refund`; empty: none.
    pub category: &'a str,
    /// Ids of the contact's organisations.
    pub organizations: &'a [String],
    /// Values of custom fields, in canonical text.
    pub fields: &'a BTreeMap<String, Vec<String>>,
    /// How urgent it is.
    pub priority: Priority,
    /// Who wrote it.
    pub contact: Uuid,
    /// When it is opened.
    pub created: Timestamp,
    /// Its first message.
    pub text: &'a Text,
}

/// The first of `rules` that holds.
#[must_use]
pub fn first<'r>(rules: &'r [Restricting], ticket: &Question<'_>) -> Option<&'r Restricting> {
    rules.iter().find(|rule| {
        let zone = &rule.zone;
        rule.condition.evaluate(&Seen { ticket, zone })
    })
}

/// A ticket on the clocks of a rule.
struct Seen<'a> {
    ticket: &'a Question<'a>,
    zone: &'a TimeZone,
}

impl Facts for Seen<'_> {
    fn get(&self, field: &str) -> Option<Fact<'_>> {
        let it = self.ticket;
        let local = || it.created.to_zoned(self.zone.clone());
        match field {
            "channel" => some(it.channel),
            "account" => some(it.account),
            "recipient" => some(it.recipient),
            "language" => some(it.language),
            "tags" => Some(Fact::Set(Cow::Borrowed(it.tags))),
            "category" => some(it.category),
            "organizations" => Some(Fact::Set(Cow::Borrowed(it.organizations))),
            COUNTRY | ORDER_VALUE => value_of(it.fields, field),
            "priority" => Some(Fact::from(it.priority.name())),
            "contact" => Some(Fact::Id(it.contact)),
            "created" => Some(Fact::Timestamp(it.created)),
            "hour" => Some(Fact::Integer(local().hour().into())),
            "weekday" => {
                let day = local().weekday().to_monday_zero_offset().unsigned_abs();
                WEEKDAYS.get(usize::from(day)).copied().map(Fact::from)
            }
            "words" => Some(Fact::from(&it.text.words)),
            "sender" => some(&it.text.sender),
            _ => value_of(it.fields, field.strip_prefix("fields.")?),
        }
    }
}

fn some(text: &str) -> Option<Fact<'_>> {
    (!text.is_empty()).then(|| Fact::from(text))
}

#[cfg(test)]
mod tests {
    use solmu_conditions::parse;

    use super::*;

    fn rule(condition: &str, zone: &str) -> Restricting {
        let id = Uuid::from_u128(1);
        Restricting {
            id,
            version: 1,
            name: condition.to_owned(),
            condition: parse(condition, &SCHEMA).unwrap(),
            zone: TimeZone::get(zone).unwrap(),
            priority: None,
            tags: Vec::new(),
            team: id,
            agents: Vec::new(),
            teams: vec![id],
        }
    }

    #[test]
    fn the_first_rule_that_holds_is_found_by_every_field() {
        let text = Text::new("Hei", "Tapan teidät kaikki", "uhkaaja@x.example");
        let fields = BTreeMap::from([
            ("country".to_owned(), vec!["FI".to_owned()]),
            ("order_value".to_owned(), vec!["1200.5".to_owned()]),
            ("site".to_owned(), vec!["Turku".to_owned()]),
        ]);
        let ticket = Question {
            channel: "email",
            account: "main",
            recipient: "hr@desk.example",
            language: "fi",
            tags: &["staff".to_owned()],
            category: "hr/complaint",
            organizations: &["o1".to_owned()],
            fields: &fields,
            priority: Priority::High,
            contact: Uuid::from_u128(7),
            // A Monday, 23:30 in Helsinki.
            created: "2026-11-02T21:30:00Z".parse().unwrap(),
            text: &text,
        };
        for (condition, zone, holds) in [
            ("tapan OR uhka*", "UTC", true),
            ("words:\"tapan teidät\"", "UTC", true),
            ("murha*", "UTC", false),
            ("sender = \"*@x.example\"", "UTC", true),
            (
                "channel = email AND account = main AND language = fi",
                "UTC",
                true,
            ),
            ("recipient = \"HR@desk.example\"", "UTC", true),
            ("tags:staff AND organizations:o1", "UTC", true),
            ("category = \"hr/*\"", "UTC", true),
            ("category = \"billing/*\"", "UTC", false),
            ("country = fi AND order_value > 1000", "UTC", true),
            ("fields.site = turku", "UTC", true),
            ("priority >= high AND created > 2026-11-01", "UTC", true),
            (
                "contact = \"00000000-0000-0000-0000-000000000007\"",
                "UTC",
                true,
            ),
            ("hour = 23 AND weekday = mon", "Europe/Helsinki", true),
            ("hour = 23", "UTC", false),
        ] {
            let rules = [rule(condition, zone)];
            assert_eq!(first(&rules, &ticket).is_some(), holds, "{condition}");
        }
        let rules = [rule("murha*", "UTC"), rule("tapan", "UTC"), rule("", "UTC")];
        assert_eq!(first(&rules, &ticket).unwrap().name, "tapan");
    }
}
