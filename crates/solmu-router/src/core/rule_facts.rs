//! What rules see of a ticket, by the names of its fields.

use std::borrow::Cow;

use jiff::{Zoned, tz::TimeZone};
use solmu_conditions::{Fact, Facts as RuleFacts, value_of};
use solmu_roster::rule::WEEKDAYS;

use super::{rules::Told, ticket::Facts};

/// A ticket as conditions see it.
pub(super) struct Known<'a> {
    pub(super) facts: &'a Facts,
    pub(super) told: Told<'a>,
    /// Absent: UTC.
    pub(super) zone: Option<&'a TimeZone>,
}

/// Keys of the custom fields that have a name of their own.
const COUNTRY: &str = "country";
const ORDER_VALUE: &str = "order_value";

impl Known<'_> {
    /// When it came, on the clocks of the rules' zone.
    fn local(&self) -> Zoned {
        let zone = self.zone.cloned().unwrap_or(TimeZone::UTC);
        self.facts.created.to_zoned(zone)
    }
}

impl RuleFacts for Known<'_> {
    fn get(&self, field: &str) -> Option<Fact<'_>> {
        let facts = self.facts;
        match field {
            "channel" => some(&facts.channel),
            "account" => some(&facts.account),
            "recipient" => some(&facts.recipient),
            "language" => some(&facts.language),
            "tags" => Some(Fact::Set(Cow::Borrowed(&facts.tags))),
            "category" => some(&facts.category),
            "organizations" => Some(Fact::Set(Cow::Borrowed(&facts.organizations))),
            COUNTRY | ORDER_VALUE => value_of(&facts.fields, field),
            "priority" => Some(Fact::from(facts.priority.name())),
            "contact" => facts.contact.map(|id| Fact::Id(id.as_uuid())),
            "created" => Some(Fact::Timestamp(facts.created)),
            "hour" => Some(Fact::Integer(self.local().hour().into())),
            "weekday" => {
                let day = self
                    .local()
                    .weekday()
                    .to_monday_zero_offset()
                    .unsigned_abs();
                WEEKDAYS.get(usize::from(day)).copied().map(Fact::from)
            }
            "words" => self.told.text.map(|text| Fact::from(&text.words)),
            "sender" => self.told.text.and_then(|text| some(&text.sender)),
            _ => match field.strip_prefix("fields.") {
                Some(key) => value_of(&facts.fields, key),
                None => self.told.own.and_then(|own| own.get(field)),
            },
        }
    }
}

fn some(text: &str) -> Option<Fact<'_>> {
    (!text.is_empty()).then(|| Fact::from(text))
}
