//! Stands in for the mail relay that our answers go out through.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{Arrived, wait};

/// A relay that takes every mail. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    mails: Arc<Mutex<Vec<Arrived>>>,
    _tasks: JoinSet<()>,
}

impl Relay {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mails: Arc<Mutex<Vec<Arrived>>> = Arc::default();
        let shared = Arc::clone(&mails);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut conversations = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let mails = Arc::clone(&shared);
                // A client that breaks off has sent no mail.
                conversations.spawn(async move { drop(converse(stream, &mails).await) });
            }
        });
        Self {
            address,
            mails,
            _tasks: tasks,
        }
    }

    /// Every mail so far.
    pub(crate) fn mails(&self) -> Vec<Arrived> {
        self.mails
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for the mail whose body holds `text`.
    pub(crate) async fn mail_with(&self, text: &str) -> Arrived {
        wait(
            &format!("the relay gets the mail with '{text}'"),
            async || {
                self.mails()
                    .into_iter()
                    .find(|mail| mail.body().contains(text))
            },
        )
        .await
    }
}

async fn converse(stream: TcpStream, mails: &Mutex<Vec<Arrived>>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 relay.example ESMTP\r\n").await?;
    let mut mail = Arrived::default();
    while let Some(line) = lines.next_line().await? {
        let verb = line
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let path = line
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'));
        let path = path.map(|(path, _)| path.to_owned()).unwrap_or_default();
        let reply = match verb.as_str() {
            "EHLO" => "250-relay.example\r\n250-8BITMIME\r\n250 PIPELINING",
            "MAIL" => {
                mail = Arrived {
                    from: path,
                    ..Arrived::default()
                };
                "250 ok"
            }
            "RCPT" => {
                mail.to.push(path);
                "250 ok"
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await?;
                while let Some(line) = lines.next_line().await? {
                    if line == "." {
                        break;
                    }
                    mail.text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    mail.text.push_str("\r\n");
                }
                mails
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(std::mem::take(&mut mail));
                "250 taken"
            }
            "QUIT" => {
                writer.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 ok",
        };
        writer.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
    Ok(())
}
