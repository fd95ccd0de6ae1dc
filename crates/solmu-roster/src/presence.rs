//! Whether agents are there.

/// Whether an agent takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// They take work.
    Online,
    /// They are there and get nothing new.
    Busy,
    /// They are away for a while.
    Away,
    /// They are not there.
    Offline,
}

impl Presence {
    /// Stable name, as stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Busy => "busy",
            Self::Away => "away",
            Self::Offline => "offline",
        }
    }

    /// The presence of a stored name. What is not known takes no work.
    pub fn from_name(name: &str) -> Self {
        match name {
            "online" => Self::Online,
            "busy" => Self::Busy,
            "away" => Self::Away,
            _ => Self::Offline,
        }
    }
}
