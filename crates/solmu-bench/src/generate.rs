//! Mails for bench: deterministic by seed, in Finnish and English, as a help desk gets them: 60 % new conversations,
//! replies that thread, exact duplicates, auto-replies. All are made before the clock starts.

use std::{fmt::Write as _, path::Path};

use anyhow::bail;

use crate::{
    encode::{encode_body, encoded},
    random::Random,
    texts::{ENGLISH, FINNISH, Texts},
};
use solmu_cli::parts::{header, of_folder};

/// Replies go to one of so many conversations, the latest ones.
const LATEST: usize = 400;
/// How often a conversation is looked for that was quiet long enough.
const TRIES: usize = 8;

/// What a mail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Opens a ticket.
    New,
    /// Joins the ticket of an earlier mail.
    Reply,
    /// Automatic, but in a conversation.
    Automatic,
    /// The same bytes as an earlier mail.
    Duplicate,
    /// Of a folder: what becomes of it is not known.
    Unknown,
}

/// A mail to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Generated {
    pub(crate) kind: Kind,
    /// Envelope sender.
    pub(crate) from: String,
    /// Message-ID without angle brackets.
    pub(crate) id: String,
    pub(crate) bytes: Vec<u8>,
}

/// A conversation that later mails can join.
#[derive(Debug, Clone)]
struct Thread {
    ids: Vec<String>,
    subject: String,
    sender: usize,
    /// Index of its first mail.
    first: usize,
    /// Index of its last mail.
    last: usize,
}

/// Makes mails one after the other.
#[derive(Debug)]
struct Generator<'a> {
    random: Random,
    run: &'a str,
    to: &'a str,
    /// Mails between a mail and one that builds on it, so that the earlier one was accepted before.
    gap: usize,
    senders: usize,
    threads: Vec<Thread>,
}

/// `count` mails to `to`; `run` is part of every Message-ID and address. A reply or a duplicate comes at least `gap`
/// mails after what it builds on.
pub(crate) fn generate(count: usize, seed: u64, run: &str, to: &str, gap: usize) -> Vec<Generated> {
    let mut generator = Generator {
        random: Random::new(seed),
        run,
        to,
        gap,
        senders: (count / 3).max(1),
        threads: Vec::new(),
    };
    let mut mails: Vec<Generated> = Vec::with_capacity(count);
    for index in 0..count {
        let mail = match generator.random.below(100) {
            0..60 => None,
            60..92 => generator.reply(index, Kind::Reply),
            92..97 => generator.reply(index, Kind::Automatic),
            _ => generator.duplicate(index, &mails),
        };
        // At the beginning there is nothing to build on.
        mails.push(mail.unwrap_or_else(|| generator.first(index)));
    }
    mails
}

/// The mails of a folder, over and over until there are `count`; the second time they are duplicates.
pub(crate) fn from_folder(folder: &Path, count: usize) -> anyhow::Result<Vec<Generated>> {
    let mails = of_folder(folder)?;
    let mut known = Vec::with_capacity(mails.len());
    for mail in mails {
        let id = header(&mail.bytes, "Message-ID")
            .unwrap_or_default()
            .trim_matches(['<', '>'])
            .to_owned();
        if !id.is_empty() {
            known.push(Generated {
                kind: Kind::Unknown,
                from: mail.from,
                id,
                bytes: mail.bytes,
            });
        }
    }
    if known.is_empty() {
        bail!(
            "no mail in '{}' has a Message-ID, which bench needs to follow it",
            folder.display()
        );
    }
    let again = known
        .iter()
        .map(|mail| Generated {
            kind: Kind::Duplicate,
            ..mail.clone()
        })
        .collect::<Vec<_>>();
    Ok(known
        .into_iter()
        .chain(again.into_iter().cycle())
        .take(count)
        .collect())
}

impl Generator<'_> {
    fn first(&mut self, index: usize) -> Generated {
        let sender = self.random.below(self.senders);
        let texts = texts_of(sender);
        let number = 10_000 + self.random.below(90_000);
        let subject = self
            .random
            .pick(texts.subjects)
            .replace("{}", &number.to_string());
        let id = self.id(index);
        self.threads.push(Thread {
            ids: vec![id.clone()],
            subject: subject.clone(),
            sender,
            first: index,
            last: index,
        });
        self.mail(Kind::New, sender, id, &subject, &[])
    }

    fn reply(&mut self, index: usize, kind: Kind) -> Option<Generated> {
        let candidate = self.conversation(index)?;
        let id = self.id(index);
        let thread = &mut self.threads[candidate];
        let references = thread.ids.clone();
        let (subject, sender) = (thread.subject.clone(), thread.sender);
        if kind == Kind::Reply {
            thread.ids.push(id.clone());
            thread.last = index;
        }
        let subject = match kind {
            Kind::Automatic => format!("{}{subject}", texts_of(sender).automatic),
            _ => format!("Re: {subject}"),
        };
        Some(self.mail(kind, sender, id, &subject, &references))
    }

    /// One of the latest conversations whose last mail is long enough ago.
    fn conversation(&mut self, index: usize) -> Option<usize> {
        let old_enough = self
            .threads
            .partition_point(|thread| thread.first + self.gap < index);
        let latest = old_enough.min(LATEST);
        (0..TRIES)
            .map(|_| old_enough - latest + self.random.below(latest))
            .find(|candidate| {
                self.threads
                    .get(*candidate)
                    .is_some_and(|thread| thread.last + self.gap < index)
            })
    }

    fn duplicate(&mut self, index: usize, mails: &[Generated]) -> Option<Generated> {
        let newest = index.checked_sub(self.gap + 1)?;
        let original = &mails[newest - self.random.below(newest.min(50) + 1)];
        Some(Generated {
            kind: Kind::Duplicate,
            ..original.clone()
        })
    }

    fn id(&self, index: usize) -> String {
        format!("{index}.{}@bench.customers.example", self.run)
    }

    fn mail(
        &mut self,
        kind: Kind,
        sender: usize,
        id: String,
        subject: &str,
        references: &[String],
    ) -> Generated {
        let texts = texts_of(sender);
        let name = format!(
            "{} {}",
            texts.first_names[sender % texts.first_names.len()],
            texts.last_names[sender % texts.last_names.len()]
        );
        let address = format!("customer{sender}.{}@customers.example", self.run);
        let mut head = format!(
            "From: {} <{address}>\r\nTo: {}\r\nSubject: {}\r\nDate: Mon, 02 Nov 2026 08:00:00 +0200\r\nMessage-ID: <{id}>\r\n",
            encoded(&name),
            self.to,
            encoded(subject)
        );
        if let Some(last) = references.last() {
            let all: Vec<String> = references.iter().map(|id| format!("<{id}>")).collect();
            // Writing to a String cannot fail.
            let _ = write!(
                head,
                "In-Reply-To: <{last}>\r\nReferences: {}\r\n",
                all.join("\r\n ")
            );
        }
        if kind == Kind::Automatic {
            head.push_str("Auto-Submitted: auto-replied\r\n");
        }
        head.push_str("MIME-Version: 1.0\r\n");
        let text = if kind == Kind::Automatic {
            texts.away.to_owned()
        } else {
            self.body(texts, &name)
        };
        let body = encode_body(&mut self.random, &text);
        let bytes = format!("{head}{body}").into_bytes();
        Generated {
            kind,
            from: if kind == Kind::Automatic {
                String::new()
            } else {
                address
            },
            id,
            bytes,
        }
    }

    /// 40 to 220 words in sentences.
    fn body(&mut self, texts: &Texts, name: &str) -> String {
        let mut text = format!("{}\r\n\r\n", texts.greeting);
        let mut column = 0;
        let mut start = true;
        for _ in 0..40 + self.random.below(180) {
            let word = *self.random.pick(texts.words);
            let stop = self.random.below(11) == 0;
            if column > 64 {
                text.push_str("\r\n");
                column = 0;
            } else if column > 0 {
                text.push(' ');
            }
            let mut letters = word.chars();
            match letters.next().filter(|_| start) {
                Some(first) => {
                    text.extend(first.to_uppercase());
                    text.push_str(letters.as_str());
                }
                None => text.push_str(word),
            }
            if stop {
                text.push('.');
            }
            start = stop;
            column += word.chars().count() + 1;
        }
        let _ = write!(text, ".\r\n\r\n{}\r\n{name}\r\n", texts.closing);
        text
    }
}

/// Two of three customers write Finnish.
fn texts_of(sender: usize) -> &'static Texts {
    if sender.is_multiple_of(3) {
        &ENGLISH
    } else {
        &FINNISH
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_mails() {
        let mails = generate(500, 7, "r", "support@desk.example", 20);
        assert_eq!(mails, generate(500, 7, "r", "support@desk.example", 20));
        assert_ne!(mails, generate(500, 8, "r", "support@desk.example", 20));
    }

    #[test]
    fn shares_and_gaps_are_kept() {
        let gap = 50;
        let mails = generate(4_000, 1, "r", "support@desk.example", gap);
        let share =
            |kind| mails.iter().filter(|mail| mail.kind == kind).count() * 100 / mails.len();
        assert!((58..67).contains(&share(Kind::New)), "{}", share(Kind::New));
        assert!(
            (26..35).contains(&share(Kind::Reply)),
            "{}",
            share(Kind::Reply)
        );
        assert!(
            (1..5).contains(&share(Kind::Duplicate)) && (2..7).contains(&share(Kind::Automatic))
        );
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (index, mail) in mails.iter().enumerate() {
            if mail.kind == Kind::Duplicate {
                let original = first[mail.id.as_str()];
                assert!(original + gap < index && mails[original].bytes == mail.bytes);
                continue;
            }
            assert!(
                first.insert(&mail.id, index).is_none(),
                "{} comes twice",
                mail.id
            );
            let answered = header(&mail.bytes, "In-Reply-To");
            assert_eq!(
                answered.is_some(),
                matches!(mail.kind, Kind::Reply | Kind::Automatic)
            );
            if let Some(answered) = answered {
                assert!(first[answered.trim_matches(['<', '>'])] + gap < index);
            }
        }
    }

    #[test]
    fn headers_are_ascii_and_short() {
        for mail in generate(300, 3, "r", "support@desk.example", 10) {
            let end = mail
                .bytes
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
                .unwrap();
            for line in mail.bytes[..end].split(|byte| *byte == b'\n') {
                assert!(
                    line.is_ascii() && line.len() < 130,
                    "{}",
                    String::from_utf8_lossy(line)
                );
            }
        }
    }
}
