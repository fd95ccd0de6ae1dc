//! How a team hands out its work, and when it takes it back.

use jiff::SignedDuration;

/// How tickets come to agents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are given to them.
    #[default]
    Direct,
    /// They are asked first.
    Offer,
    /// They take the next one themselves.
    Pull,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Offer, Self::Pull];

    /// Stable name, as stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Offer => "offer",
            Self::Pull => "pull",
        }
    }

    /// The one of a stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// What agents lose who are away for too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TakeBack {
    /// Nothing.
    Never,
    /// What they have not begun.
    #[default]
    Untouched,
    /// All of it.
    All,
}

impl TakeBack {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Never, Self::Untouched, Self::All];

    /// Stable name, as stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Untouched => "untouched",
            Self::All => "all",
        }
    }

    /// The one of a stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// How a team looks after its tickets. Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Care {
    /// How tickets come to agents.
    pub mode: Mode,
    /// How long an offer stands.
    pub offer_s: u32,
    /// How long a ticket is not offered again to who did not take it.
    pub decline_s: u32,
    /// What agents lose who are away for too long.
    pub take_back: TakeBack,
    /// How long somebody may be away before.
    pub take_back_after_s: u32,
    /// How long before its due time a ticket moves to somebody better; absent: never.
    pub rebalance_s: Option<u32>,
}

impl Default for Care {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            offer_s: 30,
            decline_s: 900,
            take_back: TakeBack::default(),
            take_back_after_s: 900,
            rebalance_s: None,
        }
    }
}

/// Seconds as a span of time.
pub fn seconds(count: u32) -> SignedDuration {
    SignedDuration::from_secs(count.into())
}
