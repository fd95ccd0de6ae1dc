//! Settings of what is one matter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_matter::{PatternError, Reader, Settings};

use super::ConfigError;

/// What is done when a message is about the same as an open ticket that it does not answer.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MatterPolicy {
    /// Nothing: it opens a ticket of its own.
    Off,
    /// It opens a ticket of its own, and somebody is asked whether both are one.
    Propose,
    /// It joins that ticket, if the same requester wrote both and proved it; otherwise as `propose`.
    Join,
}

/// One matter, one ticket: messages of a known contact that are about an open ticket of theirs and do not answer it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Matter {
    /// When the message names the number of the ticket, or the same order, invoice or the like as the ticket.
    pub reference: MatterPolicy,
    /// When both use the same words. Automatic mail never joins and is never proposed by words.
    pub words: MatterPolicy,
    /// The most that is done with a message that a person wrote on the same channel as the ticket, and that names the
    /// same order, invoice or the like without answering it. Similar words are not looked at there. Whoever begins a
    /// second thread beside one that they could answer may mean a second question about the same order: so `propose`.
    pub same_channel: MatterPolicy,
    /// Days since the last change of a ticket after which nothing joins it any more by itself.
    #[schemars(range(min = 1))]
    pub window_days: u32,
    /// Open tickets of one contact that a message is compared with, the newest ones.
    #[schemars(range(min = 1))]
    pub max_tickets: u32,
    /// Likeness of words from which two texts may be about the same, of 100.
    #[schemars(range(min = 1, max = 100))]
    pub min_similarity: u8,
    /// Words that both have at least.
    pub min_common_words: usize,
    /// Regular expressions that find references, besides those that stand beside a word such as "order" or "lasku": the
    /// first group, or all that matches.
    pub reference_patterns: Vec<String>,
    /// Names of form fields and keys of custom fields whose value is a reference.
    pub reference_fields: Vec<String>,
}

impl Default for Matter {
    fn default() -> Self {
        let fields = [
            "order",
            "order_id",
            "order_no",
            "order_number",
            "invoice",
            "invoice_number",
            "booking",
            "reference",
            "tilausnumero",
            "laskunumero",
            "ordernummer",
            "fakturanummer",
        ];
        Self {
            reference: MatterPolicy::Join,
            words: MatterPolicy::Propose,
            same_channel: MatterPolicy::Propose,
            window_days: 14,
            max_tickets: 20,
            min_similarity: 50,
            min_common_words: 4,
            reference_patterns: Vec::new(),
            reference_fields: fields.map(str::to_owned).to_vec(),
        }
    }
}

impl Matter {
    /// Nothing is ever compared.
    pub fn is_off(&self) -> bool {
        self.reference.max(self.words) == MatterPolicy::Off
    }

    /// The most that is done on the channel of the ticket.
    pub fn on_same_channel(&self) -> MatterPolicy {
        self.reference.min(self.same_channel)
    }

    /// What cannot work.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = !(1..=100).contains(&self.min_similarity)
            || self.window_days == 0
            || self.max_tickets == 0;
        if wrong {
            return Err(ConfigError::Matter);
        }
        self.reader()?;
        Ok(())
    }

    /// What reads and compares texts.
    pub fn reader(&self) -> Result<Reader, PatternError> {
        let settings = Settings {
            min_similarity: self.min_similarity,
            min_common_words: self.min_common_words,
        };
        Reader::new(settings, &self.reference_patterns, &self.reference_fields)
    }
}
