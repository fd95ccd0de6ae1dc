//! Reads a mailbox into files: `mailbox PORT USER PASSWORD FOLDER_OF_OUTPUT [mark|nothing|move=NAME] [CA_FILE [implicit]]`.
//!
//! For trying the client against a real server (`tests/peers/dovecot.sh`). With a CA file the connection is
//! protected by STARTTLS or from the first byte, without one not at all. Each mail is appended to `taken` as `UIDVALIDITY UID SIZE` and synced
//! before the position in `position.UIDVALIDITY` is replaced, so it may be killed at any moment.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use solmu_domain::rng::SystemRng;
use solmu_imap::{
    AfterImport, Event, From, Known, Limits, Login, Mail, MailContent, Position, Settings, Sink,
    SinkError, Times, Tls, run,
};
use tokio_util::sync::CancellationToken;

struct Files(PathBuf);

impl Files {
    fn append(&self, name: &str, text: &str) -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.0.join(name))?;
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }

    fn keep(&self, position: Position) -> io::Result<()> {
        let name = format!("position.{}", position.uid_validity);
        let text = format!("{} {}", position.taken, position.settled);
        fs::write(self.0.join("new"), text)?;
        fs::rename(self.0.join("new"), self.0.join(name))
    }
}

impl Sink for Files {
    async fn known(&self, uid_validity: u32) -> Result<Known, SinkError> {
        let file = self.0.join(format!("position.{uid_validity}"));
        if let Ok(text) = fs::read_to_string(file) {
            let (taken, settled) = text.split_once(' ').ok_or("no position")?;
            return Ok(Known::At(Position {
                uid_validity,
                taken: taken.parse()?,
                settled: settled.parse()?,
            }));
        }
        let other = fs::read_dir(&self.0)?
            .filter_map(Result::ok)
            .any(|entry| entry.file_name().to_string_lossy().starts_with("position."));
        Ok(if other {
            Known::Otherwise
        } else {
            Known::Never
        })
    }

    async fn begin(&self, position: Position) -> Result<(), SinkError> {
        Ok(self.keep(position)?)
    }

    async fn take(&self, mails: Vec<Mail>, position: Position) -> Result<Vec<u32>, SinkError> {
        let mut lines = String::new();
        let mut stay = Vec::new();
        for mail in &mails {
            let size = if let MailContent::Whole(raw) = &mail.content {
                raw.len()
            } else {
                stay.push(mail.uid);
                0
            };
            writeln!(lines, "{} {} {size}", position.uid_validity, mail.uid)?;
        }
        self.append("taken", &lines)?;
        self.keep(position)?;
        Ok(stay)
    }

    async fn settled(&self, position: Position) -> Result<(), SinkError> {
        Ok(self.keep(position)?)
    }

    async fn stay(&self, _: Position) -> Result<Vec<u32>, SinkError> {
        Ok(Vec::new())
    }

    fn event(&self, event: Event) {
        let told = self.append("events", &format!("{event:?}\n"));
        if let Err(error) = told {
            eprintln!("cannot write events: {error}");
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, user, password, output, rest @ ..] = arguments.as_slice() else {
        return Err("mailbox PORT USER PASSWORD OUTPUT [mark|nothing|move=NAME] [CA_FILE]".into());
    };
    let after = match rest.first().map(String::as_str) {
        None | Some("mark") => AfterImport::Mark,
        Some("nothing") => AfterImport::Nothing,
        Some(other) => {
            AfterImport::Move(other.strip_prefix("move=").ok_or("move=NAME")?.to_owned())
        }
    };
    let ca_file = rest.get(1).map(PathBuf::from);
    let settings = Settings {
        name: "example".to_owned(),
        host: "localhost".to_owned(),
        port: port.parse()?,
        tls: match rest.get(2).map(String::as_str) {
            None if ca_file.is_none() => Tls::None,
            None => Tls::StartTls,
            Some(_) => Tls::Implicit,
        },
        ca_file,
        username: user.clone(),
        login: Login::Password(password.as_str().into()),
        folder: "INBOX".to_owned(),
        after,
        from: From::All,
        limits: Limits::default(),
        times: Times {
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(2),
            ..Times::default()
        },
    };
    let files = Files(output.into());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(run(
        &settings,
        &files,
        &SystemRng,
        &CancellationToken::new(),
    ));
    Ok(())
}
