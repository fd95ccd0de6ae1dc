//! What canned answers, macros and services have in common on the command line: found by name, read from a file, whose they
//! are.

use std::{future::Future, io::Read as _};

use anyhow::{Context as _, anyhow};
use clap::Args;
use solmu_cli::parts::{Roster, Session};
use tonic::Status;

/// Longest text that is read from a file, in bytes: what the API takes of a template.
const MAX_TEXT: u64 = 16 * 1024;

/// Items that one call brings: the most that the API gives.
pub(crate) const PAGE: i32 = 500;

/// A page of a list, and the token of the next one; empty for none.
pub(crate) type Page<I> = Result<(Vec<I>, String), Status>;

/// All items of a list. `page` asks for the page behind a token.
pub(crate) async fn all<I, F: Future<Output = Page<I>>>(
    session: &Session,
    mut page: impl FnMut(String) -> F,
) -> anyhow::Result<Vec<I>> {
    let (mut items, mut page_token) = (Vec::new(), String::new());
    loop {
        let (more, next) = page(page_token).await.map_err(|it| session.explain(it))?;
        items.extend(more);
        if next.is_empty() {
            return Ok(items);
        }
        page_token = next;
    }
}

/// Whose an item is.
#[derive(Debug, Args)]
pub struct Whose {
    /// For tickets of this team only, by name or id
    #[arg(long, conflicts_with = "agent")]
    team: Option<String>,
    /// For this agent only, by name, address or id
    #[arg(long)]
    agent: Option<String>,
}

impl Whose {
    /// Whether anybody is named.
    pub(crate) const fn is_said(&self) -> bool {
        self.team.is_some() || self.agent.is_some()
    }

    /// Ids of the team and the agent; what is not said stays as `known`.
    pub(crate) async fn ids(
        &self,
        session: &Session,
        known: (String, String),
    ) -> anyhow::Result<(String, String)> {
        if self.team.is_none() && self.agent.is_none() {
            return Ok(known);
        }
        let roster = Roster::fetch(session, &session.client()?).await?;
        let team = self.team.as_deref().map(|it| roster.team(it)).transpose()?;
        let agent = self.agent.as_deref().map(|it| roster.agent(it));
        let agent = agent.transpose()?;
        Ok((
            team.map(|it| it.id.clone()).unwrap_or_default(),
            agent.map(|it| it.id.clone()).unwrap_or_default(),
        ))
    }
}

/// What items of a kind are called, and the command that lists them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) word: &'static str,
    pub(crate) list: &'static str,
}

/// The one item of a name, or the item of an id.
pub(crate) fn named<'a, I>(
    kind: Kind,
    items: &'a [I],
    of: impl Fn(&I) -> (&str, &str),
    meant: &str,
) -> anyhow::Result<&'a I> {
    let Kind { word, list } = kind;
    let fitting: Vec<&I> = items
        .iter()
        .filter(|&it| {
            let (id, name) = of(it);
            id == meant || name.eq_ignore_ascii_case(meant)
        })
        .collect();
    match fitting.as_slice() {
        [one] => Ok(one),
        [] => Err(anyhow!(
            "there is no {word} '{meant}': `{list}` shows what there is"
        )),
        several => {
            let ids: Vec<&str> = several.iter().map(|it| of(it).0).collect();
            Err(anyhow!(
                "'{meant}' is more than one {word}: name the id, one of {}",
                ids.join(", ")
            ))
        }
    }
}

/// Fails where there is an item of that name and that owner: neither could be named any more. `of` gives id, name, team
/// and agent.
pub(crate) fn is_new<I>(
    kind: Kind,
    items: &[I],
    of: impl Fn(&I) -> (&str, &str, &str, &str),
    (name, team, agent): (&str, &str, &str),
) -> anyhow::Result<()> {
    let same = items.iter().map(of).find(|(_, known, of_team, of_agent)| {
        known.eq_ignore_ascii_case(name) && (*of_team, *of_agent) == (team, agent)
    });
    match same {
        None => Ok(()),
        Some((id, ..)) => Err(anyhow!(
            "there is a {} '{name}' already ({id}): change that one with `update`, or take another name",
            kind.word
        )),
    }
}

/// A text as it is typed, or that of a file: `@answer.txt`, or `@-` for what comes in.
pub(crate) fn text(typed: &str) -> anyhow::Result<String> {
    let Some(path) = typed.strip_prefix('@') else {
        return Ok(typed.to_owned());
    };
    let mut text = String::new();
    let read = if path == "-" {
        std::io::stdin()
            .lock()
            .take(MAX_TEXT + 1)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_TEXT + 1).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read the text from '{path}'"))?;
    anyhow::ensure!(
        u64::try_from(text.len()).is_ok_and(|length| length <= MAX_TEXT),
        "'{path}' has more than {MAX_TEXT} bytes"
    );
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACRO: Kind = Kind {
        word: "macro",
        list: "solmu macro list",
    };

    #[test]
    fn items_are_found_by_name_or_id() {
        let items = [("1", "Refund"), ("2", "refund"), ("3", "Thanks")];
        let find = |meant: &str| named(MACRO, &items, |it| (it.0, it.1), meant).map(|it| it.0);
        assert_eq!(find("THANKS").unwrap(), "3");
        assert_eq!(find("2").unwrap(), "2");
        assert_eq!(
            find("refund").unwrap_err().to_string(),
            "'refund' is more than one macro: name the id, one of 1, 2"
        );
        assert_eq!(
            find("x").unwrap_err().to_string(),
            "there is no macro 'x': `solmu macro list` shows what there is"
        );
    }

    #[test]
    fn a_name_is_new_if_its_owner_has_no_other_of_it() {
        let items = [("1", "Refund", "", ""), ("2", "Thanks", "team", "")];
        let new = |name, team, agent| is_new(MACRO, &items, |it| *it, (name, team, agent));
        assert!(new("refund", "", "").is_err());
        assert!(new("Refund", "team", "").is_ok());
        assert!(new("Refund", "", "agent").is_ok());
        assert!(new("thanks", "team", "").is_err());
    }

    #[test]
    fn texts_are_typed_or_read_from_a_file() {
        assert_eq!(text("Hei").unwrap(), "Hei");
        let folder = std::env::temp_dir().join(format!("solmu-text-{}", std::process::id()));
        std::fs::write(&folder, "Hei {{ contact.name }}\n").unwrap();
        let path = format!("@{}", folder.display());
        assert_eq!(text(&path).unwrap(), "Hei {{ contact.name }}");
        std::fs::write(&folder, vec![b'a'; 20_000]).unwrap();
        assert!(text(&path).is_err());
        std::fs::remove_file(folder).unwrap();
        assert!(text("@/nowhere/at/all").is_err());
    }
}
