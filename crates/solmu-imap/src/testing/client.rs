//! One connection of the test server.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::{Server, Stored};

/// The connection is to be closed.
pub(super) struct Closed;

impl<E: std::error::Error> From<E> for Closed {
    fn from(_: E) -> Self {
        Self
    }
}

pub(super) struct Client {
    stream: BufReader<TcpStream>,
    server: Server,
    tag: String,
    /// Nothing is answered any more.
    is_cut: bool,
}

impl Client {
    pub(super) fn new(stream: TcpStream, server: Server) -> Self {
        Self {
            stream: BufReader::new(stream),
            server,
            tag: String::new(),
            is_cut: false,
        }
    }

    pub(super) async fn serve(&mut self) -> Result<(), Closed> {
        let greeting = self.server.model().greeting.clone();
        self.say(&greeting).await?;
        loop {
            let line = self.line().await?;
            let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
            tag.clone_into(&mut self.tag);
            let command = command.to_owned();
            let bye = {
                let mut model = self.server.model();
                model.commands.push(command.clone());
                model.bye_in = model.bye_in.map(|left| left.saturating_sub(1));
                model.bye_in == Some(0)
            };
            if bye {
                self.server.model().bye_in = None;
                self.say("* BYE [UNAVAILABLE] going down").await?;
                return Err(Closed);
            }
            self.is_cut = self.cuts(&command);
            let scripted = self
                .server
                .model()
                .answers
                .iter()
                .find_map(|(start, answer)| {
                    command.starts_with(start.as_str()).then(|| answer.clone())
                });
            match scripted {
                Some(answer) => self.done(&answer).await?,
                None => self.answer(&command).await?,
            }
            if self.is_cut {
                return Err(Closed);
            }
        }
    }

    fn cuts(&self, command: &str) -> bool {
        let mut model = self.server.model();
        let cut = model
            .cuts
            .iter_mut()
            .find(|(start, left)| **left > 0 && command.starts_with(start.as_str()));
        cut.is_some_and(|(_, left)| {
            *left -= 1;
            true
        })
    }

    async fn line(&mut self) -> Result<String, Closed> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(Closed);
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    async fn say(&mut self, line: &str) -> Result<(), Closed> {
        self.bytes(format!("{line}\r\n").as_bytes()).await
    }

    async fn bytes(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        if self.is_cut {
            return Ok(());
        }
        let noisy = self.server.model().noisy;
        let size = if noisy { 7 } else { bytes.len().max(1) };
        for chunk in bytes.chunks(size) {
            self.stream.write_all(chunk).await?;
            self.stream.flush().await?;
            if noisy {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    async fn done(&mut self, answer: &str) -> Result<(), Closed> {
        if self.server.model().noisy {
            self.say("* 3 FETCH (FLAGS (\\Seen $F\u{f6}rward NonJunk))")
                .await?;
            self.say("* 2 EXPUNGE").await?;
            self.say("* 40 RECENT").await?;
            self.say("* ESEARCH what is this [ ( \"").await?;
        }
        let line = format!("{} {answer}", self.tag);
        self.say(&line).await
    }

    async fn answer(&mut self, command: &str) -> Result<(), Closed> {
        let upper = command.to_ascii_uppercase();
        let words: Vec<&str> = command.split(' ').collect();
        if upper == "CAPABILITY" {
            let line = format!("* CAPABILITY {}", self.server.model().capabilities);
            self.say(&line).await?;
            self.done("OK done").await
        } else if upper.starts_with("LOGIN ") {
            self.login(command.to_owned()).await
        } else if upper.starts_with("AUTHENTICATE ") {
            self.authenticate(&words).await
        } else if upper.starts_with("SELECT ") || upper.starts_with("EXAMINE ") {
            self.select(upper.starts_with("EXAMINE")).await
        } else if upper.starts_with("UID FETCH ") {
            self.fetch(words[2], &upper).await
        } else if upper.starts_with("UID SEARCH UID ") {
            let found: Vec<String> = self
                .wanted(words[3])
                .iter()
                .map(ToString::to_string)
                .collect();
            self.say(&format!("* SEARCH {}", found.join(" "))).await?;
            self.done("OK done").await
        } else if upper.starts_with("UID STORE ") {
            self.store(words[2], command).await
        } else if upper.starts_with("UID MOVE ") || upper.starts_with("UID COPY ") {
            self.copy(words[2], words[3], upper.starts_with("UID MOVE"))
                .await
        } else if upper.starts_with("UID EXPUNGE ") {
            let wanted = self.wanted(words[2]);
            let deleted = |uid: &u32, mail: &mut Stored| {
                wanted.contains(uid) && mail.flags.contains("\\Deleted")
            };
            self.server
                .model()
                .inbox
                .retain(|uid, mail| !deleted(uid, mail));
            self.done("OK done").await
        } else if upper.starts_with("CREATE ") {
            self.server
                .model()
                .folders
                .insert(words[1].to_owned(), Vec::new());
            self.done("OK done").await
        } else if upper == "IDLE" {
            self.idle().await
        } else if upper == "LOGOUT" {
            self.say("* BYE see you").await?;
            self.done("OK done").await?;
            Err(Closed)
        } else {
            self.done("BAD what").await
        }
    }

    async fn login(&mut self, mut line: String) -> Result<(), Closed> {
        while line.ends_with('}') {
            self.say("+ go on").await?;
            line = format!("{line}{}", self.line().await?);
        }
        self.logged_in(&line).await
    }

    async fn logged_in(&mut self, proof: &str) -> Result<(), Closed> {
        let answer = {
            let model = self.server.model();
            if model.logins.iter().any(|login| login == proof) {
                "OK in".to_owned()
            } else {
                model.login_refusal.clone()
            }
        };
        self.done(&answer).await
    }

    async fn authenticate(&mut self, words: &[&str]) -> Result<(), Closed> {
        let response = if let Some(initial) = words.get(2) {
            (*initial).to_owned()
        } else {
            self.say("+ ").await?;
            self.line().await?
        };
        let proof = String::from_utf8(STANDARD.decode(response)?)?;
        let is_good = self.server.model().logins.contains(&proof);
        if words[1] == "XOAUTH2" && !is_good {
            let challenge = STANDARD.encode(r#"{"status":"401","schemes":"bearer"}"#);
            self.say(&format!("+ {challenge}")).await?;
            let empty = self.line().await?;
            assert_eq!(empty, "", "the challenge is answered with an empty line");
        }
        self.logged_in(&proof).await
    }

    async fn select(&mut self, read_only: bool) -> Result<(), Closed> {
        let lines = {
            let model = self.server.model();
            let flags = if read_only {
                "()"
            } else {
                &model.permanent_flags
            };
            format!(
                "* FLAGS (\\Seen $F\u{f6}rward)\r\n* {} EXISTS\r\n* OK [UIDVALIDITY {}] x\r\n* OK [UIDNEXT {}] x\r\n* OK [PERMANENTFLAGS {flags}] x",
                model.inbox.len(),
                model.uid_validity,
                model.uid_next,
            )
        };
        self.say(&lines).await?;
        self.done(if read_only {
            "OK [READ-ONLY] x"
        } else {
            "OK [READ-WRITE] x"
        })
        .await
    }

    fn wanted(&self, set: &str) -> Vec<u32> {
        let model = self.server.model();
        let last = model.inbox.keys().last().copied().unwrap_or(0);
        let number = |text: &str| {
            if text == "*" {
                last
            } else {
                text.parse().unwrap_or(0)
            }
        };
        let mut wanted = Vec::new();
        for range in set.split(',') {
            let (from, to) = range.split_once(':').unwrap_or((range, range));
            let (from, to) = (number(from), number(to));
            let both = from.min(to)..=from.max(to);
            wanted.extend(model.inbox.keys().filter(|uid| both.contains(uid)));
        }
        wanted
    }

    async fn fetch(&mut self, set: &str, upper: &str) -> Result<(), Closed> {
        let wanted = self.wanted(set);
        let section = ["BODY.PEEK[]", "BODY.PEEK[HEADER]"]
            .into_iter()
            .find(|name| upper.contains(name));
        let whole = section == Some("BODY.PEEK[]");
        if section.is_some() && self.refuses(&wanted, whole) {
            return self.done("NO [SERVERBUG] cannot").await;
        }
        for (index, uid) in wanted.into_iter().enumerate() {
            let Some(mail) = self.server.model().inbox.get(&uid).cloned() else {
                continue;
            };
            let mut line = format!("* {} FETCH (UID {uid}", index + 1);
            if upper.contains("RFC822.SIZE") {
                let told = self.server.model().sizes.get(&uid).copied();
                let _ = write!(
                    line,
                    " RFC822.SIZE {}",
                    told.unwrap_or(mail.raw.len() as u64)
                );
            }
            if upper.contains("(UID FLAGS)") {
                let flags: Vec<String> = mail.flags.iter().cloned().collect();
                let _ = write!(line, " FLAGS ({})", flags.join(" "));
            }
            let Some(section) = section else {
                self.say(&format!("{line})")).await?;
                continue;
            };
            let end = mail
                .raw
                .windows(4)
                .position(|end| end == b"\r\n\r\n")
                .map_or(0, |at| at + 4);
            let bytes = if whole {
                &mail.raw[..]
            } else {
                &mail.raw[..end]
            };
            let name = section.replace(".PEEK", "");
            self.bytes(format!("{line} {name} {{{}}}\r\n", bytes.len()).as_bytes())
                .await?;
            let breaks = self
                .server
                .model()
                .breaks
                .get_mut(&(uid, whole))
                .is_some_and(|left| {
                    let now = *left > 0;
                    *left = left.saturating_sub(1);
                    now
                });
            if breaks {
                self.bytes(&bytes[..bytes.len() / 2]).await?;
                return Err(Closed);
            }
            self.bytes(bytes).await?;
            self.say(")").await?;
        }
        self.done("OK done").await
    }

    fn refuses(&self, wanted: &[u32], whole: bool) -> bool {
        let mut model = self.server.model();
        match &mut model.refuses_all {
            (0, 0) => {}
            (0, left) => {
                *left -= 1;
                return true;
            }
            (before, _) => *before -= 1,
        }
        wanted
            .iter()
            .any(|uid| model.refuses.contains(&(*uid, whole)))
    }

    async fn store(&mut self, set: &str, command: &str) -> Result<(), Closed> {
        let flag = command
            .split(['(', ')'])
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        for uid in self.wanted(set) {
            if let Some(mail) = self.server.model().inbox.get_mut(&uid) {
                mail.flags.insert(flag.clone());
            }
        }
        self.done("OK done").await
    }

    async fn copy(&mut self, set: &str, target: &str, moves: bool) -> Result<(), Closed> {
        let wanted = self.wanted(set);
        let known = {
            let mut model = self.server.model();
            let mails: Vec<Vec<u8>> = wanted
                .iter()
                .map(|uid| model.inbox[uid].raw.clone())
                .collect();
            let known = model
                .folders
                .get_mut(target)
                .map(|folder| folder.extend(mails));
            if known.is_some() && moves {
                model.inbox.retain(|uid, _| !wanted.contains(uid));
            }
            known
        };
        let answer = if known.is_some() {
            "OK done"
        } else {
            "NO [TRYCREATE] no such folder"
        };
        self.done(answer).await
    }

    async fn idle(&mut self) -> Result<(), Closed> {
        let server = self.server.clone();
        let before = server.model().inbox.len();
        self.say("+ idling").await?;
        loop {
            let news = server.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            let (count, tells) = {
                let model = server.model();
                (model.inbox.len(), model.tells)
            };
            if count != before && tells {
                self.say(&format!("* {count} EXISTS")).await?;
                let done = self.line().await?;
                assert_eq!(done, "DONE");
                return self.done("OK done").await;
            }
            tokio::select! {
                () = news => {}
                line = self.line() => {
                    assert_eq!(line?, "DONE");
                    return self.done("OK done").await;
                }
            }
        }
    }
}
