//! What canned answers, macros and services have in common on the command line: found by name, read from a file, whose they
//! are.

use std::io::Read as _;

use anyhow::{Context as _, anyhow};
use clap::Args;
use solmu_cli::parts::{Roster, Session};

/// Longest text that is read from a file, in bytes: what the API takes of a template.
const MAX_TEXT: u64 = 16 * 1024;

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

/// The one item of a name, or the item of an id.
pub(crate) fn named<'a, I>(
    items: &'a [I],
    of: impl Fn(&I) -> (&str, &str),
    meant: &str,
) -> anyhow::Result<&'a I> {
    let fitting: Vec<&I> = items
        .iter()
        .filter(|&it| {
            let (id, name) = of(it);
            id == meant || name.eq_ignore_ascii_case(meant)
        })
        .collect();
    match fitting.as_slice() {
        [one] => Ok(one),
        [] => Err(anyhow!("there is no '{meant}': see the list")),
        _ => Err(anyhow!("'{meant}' is more than one: name the id")),
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

    #[test]
    fn items_are_found_by_name_or_id() {
        let items = [("1", "Refund"), ("2", "refund"), ("3", "Thanks")];
        let find = |meant: &str| named(&items, |it| (it.0, it.1), meant).map(|it| it.0);
        assert_eq!(find("THANKS").unwrap(), "3");
        assert_eq!(find("2").unwrap(), "2");
        assert!(find("refund").unwrap_err().to_string().contains("more"));
        assert!(find("x").unwrap_err().to_string().contains("no 'x'"));
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
