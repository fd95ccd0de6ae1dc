//! How large a condition may be.
//!
//! Conditions come from users and are evaluated for every message, so each dimension has a bound that is checked before
//! the work: the cost of one is bounded, and no input can exhaust the stack.

/// Deepest nesting that any [`Limits`] can allow; parser and printer recurse at most so far.
pub const MAX_DEPTH: usize = 64;

/// Bounds that [`crate::Schema::check`] and [`crate::parse`] enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Groups within groups, the leaf counted; values above [`MAX_DEPTH`] count as that.
    pub depth: usize,
    /// Comparisons in one condition.
    pub leaves: usize,
    /// Comparisons that look for a beginning, an end or a part of texts. No index serves most of them in a list.
    pub parts: usize,
    /// Characters of one text value.
    pub text_chars: usize,
    /// Values of one list.
    pub list_items: usize,
    /// Bytes of the text form, written by a user or by us.
    pub filter_bytes: usize,
}

impl Limits {
    /// What Solmu allows unless a schema says otherwise.
    pub const DEFAULT: Self = Self {
        depth: 16,
        leaves: 256,
        parts: 256,
        text_chars: 1_000,
        list_items: 500,
        filter_bytes: 64 * 1024,
    };

    pub(crate) fn bounded_depth(&self) -> usize {
        self.depth.min(MAX_DEPTH)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
