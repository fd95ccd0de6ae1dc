//! Kinds of identifiers.

/// What kind of name a person is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// A phone number, E.164.
    Phone,
    /// A WhatsApp business-scoped user id. A `wa_id` is a phone number and counts as one.
    Whatsapp,
    /// A Telegram user id.
    Telegram,
    /// A chat session.
    ChatSession,
    /// An id that the customer's own systems gave.
    External,
    /// A Messenger page-scoped id.
    Psid,
    /// An Instagram-scoped id.
    Igsid,
    /// An X user id; never the handle, which people change and others take over.
    XUser,
    /// A customer number that the customer gave.
    CustomerNumber,
    /// A browser's cookie.
    Cookie,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Email,
        Self::Phone,
        Self::Whatsapp,
        Self::Telegram,
        Self::ChatSession,
        Self::External,
        Self::Psid,
        Self::Igsid,
        Self::XUser,
        Self::CustomerNumber,
        Self::Cookie,
    ];

    /// The number of `solmu.types.v1.IdentityKind`, as it is stored.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Email => 1,
            Self::Phone => 2,
            Self::Whatsapp => 3,
            Self::Telegram => 4,
            Self::ChatSession => 5,
            Self::External => 6,
            Self::Psid => 7,
            Self::Igsid => 8,
            Self::XUser => 9,
            Self::CustomerNumber => 10,
            Self::Cookie => 11,
        }
    }

    /// From the stored number.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Short name, as scripts and reasons use it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Whatsapp => "whatsapp",
            Self::Telegram => "telegram",
            Self::ChatSession => "chat",
            Self::External => "external",
            Self::Psid => "psid",
            Self::Igsid => "ig",
            Self::XUser => "x",
            Self::CustomerNumber => "customer_number",
            Self::Cookie => "cookie",
        }
    }

    /// From the short name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether an id of this kind belongs to one account of one person by construction: a platform or the customer's
    /// own systems gave it. Names are then not asked.
    #[must_use]
    pub const fn is_account(self) -> bool {
        match self {
            Self::Whatsapp
            | Self::Telegram
            | Self::ChatSession
            | Self::External
            | Self::Psid
            | Self::Igsid
            | Self::XUser => true,
            Self::Email | Self::Phone | Self::CustomerNumber | Self::Cookie => false,
        }
    }

    /// Whether two ids of this kind on one person mean that these are two people.
    #[must_use]
    pub const fn is_unique_to_person(self) -> bool {
        matches!(self, Self::External | Self::CustomerNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_come_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), Some(kind));
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
        assert_eq!((Kind::from_code(0), Kind::from_name("fax")), (None, None));
    }
}
