//! Sightings as lines of JSON, for measuring the resolver against labelled data.
//!
//! A line is `{"id", "at", "name", "ids": [{"t", "raw", "a"}]}`: `at` in seconds since 1970, `t` a kind by its short
//! name, `a` one of verified, platform, claimed and weak. Other members are ignored.

use serde::{Deserialize, Serialize};
use solmu_domain::contact::Assurance;

use crate::{Evidence, Kind, Limits, Sighting, resolve};

#[derive(Debug, Deserialize)]
struct Line {
    id: String,
    #[serde(default)]
    at: i64,
    #[serde(default)]
    name: String,
    #[serde(default)]
    ids: Vec<Id>,
}

#[derive(Debug, Deserialize)]
struct Id {
    t: String,
    raw: String,
    a: String,
    #[serde(default)]
    scope: String,
}

/// A line that is no sighting.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// No JSON of this shape.
    #[error("line {line} is no event")]
    Json {
        /// From 1.
        line: usize,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A kind or an assurance that we do not know.
    #[error("line {line}: there is no '{word}'")]
    Word {
        /// From 1.
        line: usize,
        /// What stands there.
        word: String,
    },
}

/// Whom an event belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The event.
    pub id: String,
    /// The person as agents see them: the id of their first event.
    pub profile: String,
    /// The requester whose history may be shown: the id of their first event.
    pub access: String,
}

/// Reads one sighting a line. Empty lines are skipped.
pub fn read(text: &str) -> Result<Vec<Sighting>, BadLine> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| sighting(index + 1, line))
        .collect()
}

fn sighting(line: usize, text: &str) -> Result<Sighting, BadLine> {
    let read: Line = serde_json::from_str(text).map_err(|source| BadLine::Json { line, source })?;
    let evidence: Result<Vec<Evidence>, BadLine> = read
        .ids
        .into_iter()
        .map(|id| {
            let word = |word: &str| BadLine::Word {
                line,
                word: word.to_owned(),
            };
            Ok(Evidence {
                kind: Kind::from_name(&id.t).ok_or_else(|| word(&id.t))?,
                scope: id.scope,
                assurance: match id.a.as_str() {
                    "verified" | "platform" => Assurance::Proven,
                    "claimed" => Assurance::Claimed,
                    "weak" => Assurance::Weak,
                    other => return Err(word(other)),
                },
                raw: id.raw,
            })
        })
        .collect();
    Ok(Sighting {
        id: read.id,
        at: read.at,
        name: read.name,
        evidence: evidence?,
    })
}

/// Resolves events; answers in their order.
#[must_use]
pub fn answers(events: &[Sighting], limits: &Limits) -> Vec<Answer> {
    let resolution = resolve(events, limits);
    let id = |position: usize| events[position].id.clone();
    events
        .iter()
        .enumerate()
        .map(|(position, event)| Answer {
            id: event.id.clone(),
            profile: id(resolution.profile[position]),
            access: id(resolution.access[position]),
        })
        .collect()
}
