//! The fields of contacts and organisations in conditions, and which of them somebody looks at.

use std::collections::BTreeSet;

use solmu_conditions::{Checked, Condition, Field, FieldType, Schema};

/// Fields of ours; besides them those that the deployment defines.
const OURS: [&str; 5] = [
    "contact.language",
    "contact.time_zone",
    "contact.manager",
    "organization.name",
    "organization.domains",
];
/// Maps of those that the deployment defines.
pub(crate) const MAPS: [&str; 2] = ["contact.fields", "organization.fields"];

/// Declares what conditions may look at, of the contact and the organisations of a ticket.
#[must_use]
pub fn with_own_fields(schema: Schema) -> Schema {
    let schema = MAPS.into_iter().fold(schema, |schema, name| {
        schema.with(Field::new(name, FieldType::ValueMap))
    });
    OURS.into_iter().fold(schema, |schema, name| {
        schema.with(Field::new(name, FieldType::Value))
    })
}

/// Names of fields of contacts and organisations that conditions look at: all that is ever asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched(BTreeSet<String>);

impl Watched {
    /// Those of one condition.
    #[must_use]
    pub fn of(condition: &Checked) -> Self {
        let mut names = BTreeSet::new();
        collect(condition.condition(), &mut names);
        Self(names)
    }

    /// Adds those of another.
    pub fn add(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    /// Whether nobody looks at any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether somebody looks at one of these.
    #[must_use]
    pub fn meets(&self, fields: &[String]) -> bool {
        fields.iter().any(|field| self.0.contains(field))
    }

    /// Whether everything of the other is in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.is_subset(&self.0)
    }

    /// Whether fields of contacts are among them.
    #[must_use]
    pub fn asks_contacts(&self) -> bool {
        self.0.iter().any(|field| field.starts_with("contact."))
    }

    /// Whether fields of organisations are among them.
    #[must_use]
    pub fn asks_organizations(&self) -> bool {
        self.0
            .iter()
            .any(|field| field.starts_with("organization."))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<S: Into<String>> FromIterator<S> for Watched {
    fn from_iter<T: IntoIterator<Item = S>>(names: T) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

/// Whether it is a field of a contact or an organisation.
pub(crate) fn is_own(field: &str) -> bool {
    OURS.contains(&field) || map_of(field).is_some()
}

/// The map that a field is in, and its key there.
pub(crate) fn map_of(field: &str) -> Option<(&'static str, &str)> {
    MAPS.into_iter().find_map(|map| {
        let key = field.strip_prefix(map)?.strip_prefix('.')?;
        Some((map, key))
    })
}

fn collect(condition: &Condition, names: &mut BTreeSet<String>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            for part in parts {
                collect(part, names);
            }
        }
        Condition::Not(part) => collect(part, names),
        Condition::Leaf(leaf) => {
            names.extend(is_own(&leaf.field).then(|| leaf.field.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use solmu_conditions::parse;

    use super::*;

    fn watched(condition: &str) -> Watched {
        let schema = with_own_fields(Schema::new().with(Field::new("tags", FieldType::TextSet)));
        let checked = parse(condition, &schema).unwrap_or_else(|error| panic!("{error}"));
        Watched::of(&checked)
    }

    #[test]
    fn only_what_is_looked_at_is_watched() {
        let all = watched(
            "tags:vip AND (contact.fields.Tier = gold OR NOT organization.name = acme*) contact.manager = true",
        );
        let names: Vec<&str> = all.names().collect();
        let wanted = [
            "contact.fields.tier",
            "contact.manager",
            "organization.name",
        ];
        assert_eq!(names, wanted);
        assert!(all.asks_contacts() && all.asks_organizations());
        assert!(all.meets(&[
            "contact.language".to_owned(),
            "organization.name".to_owned()
        ]));
        assert!(!all.meets(&["contact.language".to_owned()]));
        let some = watched("contact.manager = true");
        assert!(all.covers(&some) && !some.covers(&all));
        assert!(watched("tags:vip").is_empty());
        assert_eq!(
            map_of("contact.fields.a.b"),
            Some(("contact.fields", "a.b"))
        );
        assert_eq!(map_of("contact.fieldsx"), None);
    }
}
