//! What rules see of a ticket, by the names of its fields.

use std::borrow::Cow;

use jiff::{Zoned, tz::TimeZone};
use solmu_conditions::{Fact, Facts as RuleFacts};

use super::{rules::Text, ticket::Facts};

/// Days of the week as `weekday` names them.
pub(super) const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A ticket as conditions see it.
pub(super) struct Known<'a> {
    pub(super) facts: &'a Facts,
    pub(super) text: Option<&'a Text>,
    /// Absent: UTC.
    pub(super) zone: Option<&'a TimeZone>,
}

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
            "country" => several(facts.fields.get("country")?),
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
            "words" => self.text.map(|text| Fact::from(&text.words)),
            "sender" => self.text.and_then(|text| some(&text.sender)),
            _ => several(facts.fields.get(field.strip_prefix("fields.")?)?),
        }
    }
}

fn several(values: &[String]) -> Option<Fact<'_>> {
    match values {
        [] => None,
        [one] => some(one),
        _ => Some(Fact::Set(Cow::Borrowed(values))),
    }
}

fn some(text: &str) -> Option<Fact<'_>> {
    (!text.is_empty()).then(|| Fact::from(text))
}
