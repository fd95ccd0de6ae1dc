//! Scopes: what a token may do of what its role may do.
//!
//! A token without scopes may do all that its role may. A scope is an area and a level; `write` covers `read`, `admin`
//! covers both.

use std::{fmt, str::FromStr};

macro_rules! scopes {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal, $level:literal;)*) => {
        /// An area and how far it may be changed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope {
            $($(#[doc = $doc])* $name,)*
        }

        impl Scope {
            /// Every scope.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name on tokens.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            const fn level(self) -> u8 {
                match self {
                    $(Self::$name => $level,)*
                }
            }
        }
    };
}

scopes! {
    /// Reads tickets, messages and the quarantine.
    TicketsRead = "tickets.read", 0;
    /// Works on tickets.
    TicketsWrite = "tickets.write", 1;
    /// Sets up what tickets have: fields, templates, texts.
    TicketsAdmin = "tickets.admin", 2;
    /// Reads contacts and organisations.
    ContactsRead = "contacts.read", 0;
    /// Changes contacts and organisations.
    ContactsWrite = "contacts.write", 1;
    /// Exports and erases persons, and sets up attributes.
    ContactsAdmin = "contacts.admin", 2;
    /// Reads teams, agents, rules and queues.
    RoutingRead = "routing.read", 0;
    /// Says who is there, and takes and gives back work.
    RoutingWrite = "routing.write", 1;
    /// Sets up teams, agents and rules.
    RoutingAdmin = "routing.admin", 2;
    /// Reads for requesters whom a portal has signed in: what is theirs and nothing else.
    RequestersRead = "requesters.read", 0;
    /// Writes and orders for requesters whom a portal has signed in.
    RequestersWrite = "requesters.write", 1;
    /// Reads calendars, policies and clocks.
    SlaRead = "sla.read", 0;
    /// Sets up calendars and policies.
    SlaAdmin = "sla.admin", 2;
    /// Sees and changes restricted tickets, whomever they name. For services; agents have to be named.
    RestrictedAdmin = "restricted.admin", 2;
    /// Makes and revokes tokens.
    AccessAdmin = "access.admin", 2;
}

impl Scope {
    fn area(self) -> &'static str {
        self.as_str().split_once('.').map_or("", |(area, _)| area)
    }

    /// Whether a token with this scope may do what needs `needed`.
    #[must_use]
    pub fn covers(self, needed: Self) -> bool {
        self.area() == needed.area() && self.level() >= needed.level()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope '{0}'")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// The scopes of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scopes {
    /// It has none: all that the role may.
    #[default]
    Unrestricted,
    /// What these cover. Never more, also when it is empty because a newer release named what this one does not know.
    Only(Vec<Scope>),
}

impl Scopes {
    /// Those of a stored token. What this release does not know allows nothing.
    #[must_use]
    pub fn of_names(names: &[String]) -> Self {
        if names.is_empty() {
            return Self::Unrestricted;
        }
        Self::Only(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Whether they allow what needs `needed`.
    #[must_use]
    pub fn allow(&self, needed: Scope) -> bool {
        match self {
            Self::Unrestricted => true,
            Self::Only(scopes) => scopes.iter().any(|scope| scope.covers(needed)),
        }
    }

    /// Their names, as stored.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Unrestricted => Vec::new(),
            Self::Only(scopes) => scopes.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_level_covers_the_lower_ones_of_its_area() {
        assert!(Scope::TicketsWrite.covers(Scope::TicketsRead));
        assert!(Scope::TicketsAdmin.covers(Scope::TicketsRead));
        assert!(!Scope::TicketsRead.covers(Scope::TicketsWrite));
        assert!(!Scope::RoutingAdmin.covers(Scope::SlaRead));
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(*scope));
            assert!(scope.covers(*scope));
        }
    }

    #[test]
    fn what_is_not_known_allows_nothing() {
        let scopes = Scopes::of_names(&["moon.write".to_owned()]);
        assert!(Scope::ALL.iter().all(|scope| !scopes.allow(*scope)));
        assert!(Scopes::of_names(&[]).allow(Scope::AccessAdmin));
    }
}
