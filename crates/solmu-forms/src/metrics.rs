//! What is counted: every post, by form and outcome.

use solmu_telemetry::metrics::{Counter, Metrics, Unit, intern};

/// Outcome of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    Invalid,
    /// A program filled in the field that people do not see. Thanked, counted, not kept.
    Trapped,
    TooFast,
    Expired,
    RateLimited,
    Unavailable,
    /// Refused for its size, type or origin.
    Refused,
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Invalid => "invalid",
            Self::Trapped => "trapped",
            Self::TooFast => "too_fast",
            Self::Expired => "expired",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
        }
    }
}

/// Handles of this crate's metrics.
#[derive(Debug, Clone)]
pub(crate) struct FormMetrics {
    posts: Counter<2>,
}

impl FormMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let help = "Posts of web forms, by what became of them";
        Self {
            posts: metrics.counter(
                "solmu_form_posts_total",
                help,
                Unit::Count,
                ["form", "outcome"],
            ),
        }
    }

    /// `form` is the id of a configured form: a bounded set.
    pub(crate) fn post(&self, form: &str, outcome: Outcome) {
        self.posts.inc([intern(form), outcome.label()]);
    }
}
